"""Stored runs packed into messages (P4.7, P5.5)."""

from __future__ import annotations

import pytest

from hcom_replica.core.packer import Bundle, bundle, bundle_behind
from hcom_replica.core.parts import Assembler
from hcom_replica.core.verify import verify_batch
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire.batch import Batch, decode_batch
from hcom_replica.wire.codec import encode
from hcom_replica.wire.event import Draft
from hcom_replica.wire.frame import unpack
from tests.unit.core.builders import KEYS, ROOM, WALL, Device, draft, noise


def unpacked(ready: Bundle) -> Batch:
    """What a receiver makes of it."""
    if ready.whole is not None:
        return decode_batch(unpack(ready.whole))
    assembler = Assembler()
    *_, data = [assembler.add(OriginId(bytes(8)), part) for part in ready.parts]
    assert data is not None
    return decode_batch(data)


@pytest.mark.parametrize("room", [512, 2_000, 16_000, ROOM])
@pytest.mark.parametrize(
    "drafts",
    [[draft()] * 3000, noise(20, 5_000), noise(3, 48_000), noise(1, 200_000), [draft(bytes(500_000))], [draft(b"")]],
    ids=["many", "noise", "commits of 48 KiB", "one large", "compressible", "empty"],
)
def test_log_under_any_room_is_packed_whole_and_without_a_hole(room: int, drafts: list[Draft]) -> None:
    """Each message fits; each bundle verifies; from the first event to the last."""
    device = Device("BOXE")
    device.append(*drafts)
    first = 1
    while first <= device.own.seq:
        ready = bundle(device.log, device.own, first, room)
        assert ready is not None
        sizes = [len(encode(part)) for part in ready.parts] if ready.whole is None else [len(ready.whole.data)]
        assert max(sizes) <= room
        batch = unpacked(ready)
        run = verify_batch(KEYS.group, batch, device.own)
        assert (run.first, run.last, ready.first, ready.last) == (first, ready.last, first, run.last)
        assert ready.raw == sum(map(len, batch.records))
        first = ready.last + 1


def test_bundle_begins_at_the_commit_below_what_is_wanted() -> None:
    """P4.7"""
    device = Device("BOXE")
    device.append(*[draft()] * 1000)
    ready = bundle(device.log, device.own, 300, ROOM)
    assert ready is not None
    assert (ready.first, ready.last) == (257, 1001)


@pytest.mark.parametrize(("first", "last", "ends"), [(300, 310, 512), (257, 257, 512), (513, 1001, 1001), (2, 2, 256)])
def test_bundle_cut_to_what_is_wanted_begins_there_and_ends_at_the_commit_that_covers_it(
    first: int, last: int, ends: int
) -> None:
    """P4.7: nothing that the asker has comes again"""
    device = Device("BOXE")
    device.append(*[draft()] * 1000)
    ready = bundle(device.log, device.own, first, ROOM, last)
    assert ready is not None
    run = verify_batch(KEYS.group, unpacked(ready), device.own)
    assert (ready.first, ready.last, run.first, run.last) == (first, ends, first, ends)
    assert run.prev == device.log.tip_at(device.own.id, first - 1)


def test_bundle_cut_behind_redacted_events_counts_what_they_were() -> None:
    """P4.2, P4.7"""
    device = Device("BOXE")
    device.append(*[draft(b"x" * 200)] * 600)
    wanted = bundle(device.log, device.own, 200, ROOM, 210)
    for seq in (150, 199, 200):
        device.log.redact(EventId(device.own.id, seq), WALL)
    ready = bundle(device.log, device.own, 200, ROOM, 210)
    assert wanted is not None
    assert ready is not None
    run = verify_batch(KEYS.group, unpacked(ready), device.own)
    assert (run.first, run.cum, ready.raw) == (200, unpacked(wanted).cum, wanted.raw)
    assert [redaction.seq for redaction in run.redactions] == [200]


def test_bundle_of_what_is_not_held_is_none() -> None:
    device = Device("BOXE")
    device.append()
    assert bundle(device.log, device.own, 3, ROOM) is None


def test_bundle_that_starts_an_origin_carries_its_descriptor() -> None:
    """P4.4"""
    device = Device("BOXE")
    device.append(*[draft()] * 600)
    for first, carries in ((1, True), (300, False)):
        ready = bundle(device.log, device.own, first, ROOM)
        assert ready is not None
        assert (unpacked(ready).descriptor is not None) is carries


def test_bundle_behind_all_that_is_held_is_none() -> None:
    """P7.6: what is sent live is what has come since, and nothing else."""
    device = Device("BOXE")
    device.append()
    before = device.own
    assert bundle_behind(device.log, before, ROOM) is None
    device.append()
    ready = bundle_behind(device.log, before, ROOM)
    assert ready is not None
    assert (ready.first, ready.last) == (before.seq + 1, device.own.seq)
