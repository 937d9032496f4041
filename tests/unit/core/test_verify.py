"""A batch checked on its own, whoever sent it (protocol-v1 sections 3, 4)."""

from __future__ import annotations

import msgspec
import pytest

from hcom_replica.core.hello import HELLO, Hello, Rename, system_draft
from hcom_replica.core.origin import OriginState
from hcom_replica.core.verify import Run, verify_batch
from hcom_replica.errors import ProtocolError
from hcom_replica.ids import OriginId
from hcom_replica.limits import BATCH_REDACTED_MAX, COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, MESSAGE_BYTES_MAX
from hcom_replica.wire.batch import Batch, Commit, Descriptor, ForkPoint, decode_batch, encode_batch
from hcom_replica.wire.codec import U64_MAX
from hcom_replica.wire.event import Draft, decode_event, encode_event
from hcom_replica.wire.redaction import redacted, sign_redaction
from hcom_replica.wire.signing import COMMIT, commit_digest, hash32, origin_hash, root_hash, short
from tests.unit.core.builders import KEYS, WALL, Device, draft

GROUP = KEYS.group


def forged(
    device: Device, records: list[bytes], *, at_seqs: list[int] | None = None, first: int = 1, cum: int = 0
) -> Batch:
    """A batch of any records that a device with a key of its own chooses to sign."""
    incarnation = (1).to_bytes(4, "big") + bytes(8)
    root = root_hash(GROUP, device.key.public, incarnation)
    tip, commits, total = root, [], cum
    for seq, record in enumerate(records, first):
        body = msgspec.msgpack.decode(record)[4]
        header = record[: len(record) - len(body)]
        tip = hash32(tip, header, hash32(body))
        total += len(record)
        if seq in (at_seqs or [first + len(records) - 1]):
            hlc = msgspec.msgpack.decode(record)[0]
            digest = commit_digest(root, seq, hlc, min(total, U64_MAX), tip)
            commits.append(Commit(seq, device.key.sign(COMMIT, digest)))
    descriptor = Descriptor(device.key.public, incarnation, ())
    return Batch(short(root), first, root, cum, records, commits, descriptor)


def hello(device: Device, hlc: int = 1, name: str | None = None) -> bytes:
    """The record that starts a forged origin."""
    incarnation = (1).to_bytes(4, "big") + bytes(8)
    said = Hello(device.key.public.hex(), incarnation.hex(), device.name if name is None else name)
    return encode_event(hlc, system_draft(HELLO, said))


def check(batch: Batch, known: OriginState | None = None) -> Run:
    """Take a batch the way of the wire."""
    return verify_batch(GROUP, decode_batch(encode_batch(batch)), known)


def refused(batch: Batch, known: OriginState | None = None) -> str:
    """The reason for which a batch is refused."""
    with pytest.raises(ProtocolError) as error:
        check(batch, known)
    return error.value.reason


@pytest.fixture
def boxe() -> Device:
    device = Device("BOXE")
    device.append(draft(b"1"), draft(b"22"), draft(b"333"))
    device.append(system_draft("_name", Rename("LUNA")))
    return device


def test_batch_of_a_device_gives_all_that_is_stored_of_it(boxe: Device) -> None:
    """P4.5: hlc of each, c after each, system events and names, commits with their sums."""
    run = check(boxe.batch())
    own = boxe.own
    assert (run.origin, run.first, run.last, run.base) == (own.id, 1, 5, 0)
    assert run.tips[-1] == own.tip
    assert (run.commits[-1].seq, run.commits[-1].cum, run.commits[-1].hlc) == (5, own.cum, own.hlc)
    assert run.system == [1, 5]
    assert run.names == [(1, "BOXE"), (5, "LUNA")]
    assert run.hlcs == sorted(set(run.hlcs))


def test_batch_from_the_middle_needs_what_is_known_of_its_origin(boxe: Device) -> None:
    """P4.4: only a batch that starts the origin has to carry the descriptor."""
    boxe.append(*[draft()] * COMMIT_EVENTS_MAX)
    batch = boxe.batch(first=boxe.own.seq)
    assert batch.descriptor is None
    assert refused(batch) == "hello"
    assert check(batch, boxe.own).last == boxe.own.seq


@pytest.mark.parametrize("place", ["key", "incarnation", "forks"])
def test_batch_with_the_descriptor_of_another_origin_is_refused(boxe: Device, place: str) -> None:
    """P2.5: hash and id follow from the descriptor."""
    batch = boxe.batch()
    assert batch.descriptor is not None
    values = {"key": bytes(32), "incarnation": bytes(12), "forks": (ForkPoint(1, bytes(32)),)}
    other = msgspec.structs.replace(batch.descriptor, **{place: values[place]})
    assert refused(msgspec.structs.replace(batch, descriptor=other)) == "hello"


def test_batch_of_an_origin_known_by_another_descriptor_is_refused(boxe: Device) -> None:
    """P2.3: of two hashes with one short id, the one that is held stays."""
    known = msgspec.structs.replace(boxe.own, incarnation=bytes(12))
    assert refused(boxe.batch(), known) == "hello"


@pytest.mark.parametrize("position", [0, 1, 4])
def test_batch_with_one_byte_changed_is_refused(boxe: Device, position: int) -> None:
    """P4.1: every byte of header and body is under the chain."""
    batch = boxe.batch()
    records = list(batch.records)
    records[position] = records[position][:-1] + bytes((records[position][-1] ^ 1,))
    assert refused(msgspec.structs.replace(batch, records=records)) in ("signature", "hello")


@pytest.mark.parametrize(("field", "value"), [("prev", bytes(32)), ("cum", 1), ("first", 2)])
def test_batch_that_starts_elsewhere_than_it_says_is_refused(boxe: Device, field: str, value: object) -> None:
    """P4.2, P4.4: the signature covers seq, sum and chain."""
    batch = msgspec.structs.replace(boxe.batch(), **{field: value})
    if field == "first":
        batch = msgspec.structs.replace(batch, commits=[Commit(batch.last, batch.commits[-1].signature)])
    assert refused(batch) in ("chain", "signature", "hello")


def test_batch_with_the_signature_of_another_device_is_refused(boxe: Device) -> None:
    """P2.6"""
    batch = boxe.batch()
    stranger = Device("NOVA").key
    digest = commit_digest(boxe.own.hash, boxe.own.seq, boxe.own.hlc, boxe.own.cum, boxe.own.tip)
    commits = [*batch.commits[:-1], Commit(boxe.own.seq, stranger.sign(COMMIT, digest))]
    assert refused(msgspec.structs.replace(batch, commits=commits)) == "signature"


def test_hlc_that_does_not_grow_is_refused() -> None:
    """P3.2"""
    device = Device("BOXE")
    for second in (5, 4):
        assert refused(forged(device, [hello(device, 5), encode_event(second, draft())])) == "order"
    assert refused(forged(device, [hello(device, 0)])) == "order"


def test_origin_without_a_hello_in_front_is_refused() -> None:
    """P3.6"""
    device = Device("BOXE")
    assert refused(forged(device, [encode_event(1, draft())])) == "hello"
    assert refused(forged(device, [encode_event(1, system_draft("_name", Rename("LUNA")))])) == "hello"
    assert refused(forged(device, [hello(Device("NOVA"))])) == "hello"
    assert refused(forged(device, [hello(device, name="A NAME THAT IS TOO LONG")])) == "hello"


def test_commit_over_too_many_events_is_refused() -> None:
    """P4.3: 256 events."""
    device = Device("BOXE")
    records = [hello(device), *(encode_event(hlc, draft(b"")) for hlc in range(2, COMMIT_EVENTS_MAX + 2))]
    assert check(forged(device, records[:-1])).last == COMMIT_EVENTS_MAX
    assert refused(forged(device, records)) == "limit"
    assert check(forged(device, records, at_seqs=[1, COMMIT_EVENTS_MAX + 1])).last == COMMIT_EVENTS_MAX + 1


def test_commit_over_too_many_bytes_is_refused_unless_it_is_one_event() -> None:
    """P4.3: 48 KiB, or one larger event."""
    device = Device("BOXE")
    large = encode_event(2, draft(bytes(COMMIT_BYTES_MAX)))
    assert refused(forged(device, [hello(device), large])) == "limit"
    assert check(forged(device, [hello(device), large], at_seqs=[1, 2])).last == 2


@pytest.mark.parametrize(
    "event",
    [
        Draft("", None, None, b""),
        Draft("k" * 65, None, None, b""),
        Draft("k", "", None, b""),
        Draft("k", "a" * 257, None, b""),
        Draft("k", None, -(1 << 63), b""),
        Draft("k", None, 1 << 63, b""),
    ],
)
def test_event_over_a_limit_is_refused(event: Draft) -> None:
    """P3.1"""
    device = Device("BOXE")
    assert refused(forged(device, [hello(device), encode_event(2, event)])) in ("limit", "format")


def test_limits_of_an_event_do_not_depend_on_those_before_it() -> None:
    """P3.1: a kind of 65 bytes is too long, also where an agent of that name was seen: or devices would end up with
    different logs, by how the events were cut into batches."""
    device = Device("BOXE")
    long = "a" * 65
    records = [
        hello(device),
        encode_event(2, Draft("k", long, None, b"")),
        encode_event(3, Draft(long, None, None, b"")),
    ]
    assert refused(forged(device, records)) == "limit"


@pytest.mark.parametrize("record", [b"", b"\x95", msgspec.msgpack.encode([1, "k", None, None, b"", 0]), b"\xc1"])
def test_record_that_is_no_event_is_refused(boxe: Device, record: bytes) -> None:
    assert refused(msgspec.structs.replace(boxe.batch(), records=[record] * 5)) == "format"


@pytest.mark.parametrize("cum", [U64_MAX, U64_MAX - 1])
def test_sum_beyond_64_bits_is_refused(cum: int) -> None:
    """P4.2: hostile numbers must not raise anything else."""
    device = Device("BOXE")
    assert refused(forged(device, [hello(device)], cum=cum)) == "limit"


def test_derived_origin_starts_behind_its_base_with_its_link(boxe: Device) -> None:
    """P2.4, P4.6: id and c follow from the link; commits verify against the origin that is not derived."""
    batch = boxe.batch()
    run = check(batch)
    base = 2
    assert batch.descriptor is not None
    descriptor = msgspec.structs.replace(batch.descriptor, forks=(ForkPoint(base, run.tips[base]),))
    branch = Batch(
        short(origin_hash(GROUP, descriptor)),
        base + 1,
        run.tips[base - 1],
        sum(map(len, batch.records[:base])),
        batch.records[base:],
        [commit for commit in batch.commits if commit.seq > base],
        descriptor,
    )
    derived = check(branch)
    assert (derived.base, derived.first, derived.tips) == (base, base + 1, run.tips[base:])
    assert OriginId(branch.origin) != run.origin
    at_base = msgspec.structs.replace(branch, first=base, records=batch.records[base - 1 :])
    assert refused(at_base) == "order"
    wrong = msgspec.structs.replace(branch, prev=bytes(32))
    assert refused(wrong) in ("chain", "signature")


def test_time_claimed_by_the_writer_may_be_any_that_fits() -> None:
    device = Device("BOXE")
    for time in (None, 0, -1, (1 << 63) - 1, 1 - (1 << 63), WALL * 1000):
        assert check(forged(device, [hello(device), encode_event(2, Draft("k", None, time, b""))])).last == 2


# --- redacted records ------------------------------------------------------------------------------------------------


def blanked(device: Device, count: int) -> Batch:
    """A batch of so many events and a hello, all events without their bodies, by the true word of their writer."""
    records = [hello(device), *(encode_event(hlc, draft(b"secret")) for hlc in range(2, count + 2))]
    seqs = [*range(COMMIT_EVENTS_MAX, count + 1, COMMIT_EVENTS_MAX), count + 1]
    batch = forged(device, records, at_seqs=seqs)
    tips = check(batch).tips
    gone = [
        redacted(record, decode_event(record), sign_redaction(device.key, batch.prev, seq, tips[seq - 1]))
        for seq, record in enumerate(records[1:], 2)
    ]
    return msgspec.structs.replace(batch, records=[records[0], *gone])


def test_batch_of_redacted_records_is_taken_up_to_a_limit() -> None:
    """P4.5: each costs a signature check; every message that can be packed honestly is below it."""
    device = Device("LIAR")
    assert len(check(blanked(device, BATCH_REDACTED_MAX)).redactions) == BATCH_REDACTED_MAX
    assert refused(blanked(device, BATCH_REDACTED_MAX + 1)) == "limit"
    assert BATCH_REDACTED_MAX * 32 > MESSAGE_BYTES_MAX
    assert BATCH_REDACTED_MAX > COMMIT_EVENTS_MAX


def test_redacted_record_of_another_place_is_refused() -> None:
    """P3.8: the word for one event is none for its neighbour, though kind, body and length are the same."""
    batch = blanked(Device("BOXE"), 3)
    hello_, first, second, third = batch.records
    swapped = first[:37] + second[37:101] + first[101:]
    assert refused(msgspec.structs.replace(batch, records=[hello_, swapped, second, third])) == "signature"
