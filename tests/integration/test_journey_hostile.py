"""Hostile bytes on the group's own topics: dropped and counted, the daemons live on, and honest events arrive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import zstandard

from hcom_replica.daemon.client import DaemonClient
from hcom_replica.ids import OriginId
from hcom_replica.ports import Published
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.frame import Kind, Packed, Signer, close_frame
from hcom_replica.wire.seal import seal
from hcom_replica.wire.signing import DeviceKey, root_hash, short
from tests.harness.corpus import noise, write_lines
from tests.harness.group import Group, Laptop, assert_equal_histories
from tests.harness.links import LinkOwner
from tests.harness.witness import Witness

pytestmark = pytest.mark.slow
EVENTS = 300
BOMB = zstandard.ZstdCompressor(level=19).compress(bytes(64 << 20))


def test_junk_and_plants_on_every_topic_are_dropped_and_counted_and_honest_sync_goes_on(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    random = Random(3)
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.write(write_lines(tmp_path / "first.jsonl", range(EVENTS)))
        b.wait_for_events(EVENTS)
        pids = [laptop.cli.daemon_pid() for laptop in (a, b)]
        witness = Witness(own_broker, group.token)
        origin = OriginId(bytes.fromhex(a.status()["origin"]))

        with LinkOwner(own_broker.address) as attacker:
            attacker.subscribed(f"{witness.topics.prefix}/#")
            a.emit('"recorded"')
            wait_until(lambda: attacker.payloads(witness.topics.live), 20, "something to replay")
            replayed = attacker.payloads(witness.topics.live)[0]
            plants = list(planted(witness, origin, random, replayed))
            for number, (topic, payload, retain) in enumerate(plants):
                attacker.link.publish(topic, payload, retain=retain, token=number)
            attacker.wait_for(Published, count=len(plants))

        a.write(write_lines(tmp_path / "second.jsonl", noise(EVENTS, 200)))
        b.emit('"honest"')
        for laptop in (a, b):
            laptop.wait_for_events(2 * EVENTS + 2)
        assert_equal_histories([a, b], 2 * EVENTS + 2)
        assert [laptop.cli.daemon_pid() for laptop in (a, b)] == pids

        dropped = dropped_by(b)
        assert {"version", "seal", "kind", "signature", "size"} <= set(dropped), dropped
        assert sum(dropped.values()) > len(plants) / 2
        assert b.status()["inbound"]["behind_events"] == 0

        # What was planted in the slots of A, and what was wiped out of them, A puts right.

        def newest() -> int:
            return int(max(event["seq"] for event in a.events("--system", "--device", a.name)))

        def is_right() -> bool:
            slots = witness.slots(origin)
            return slots.head is not None and slots.head.seq == newest() and slots.presence is not None

        wait_until(is_right, 30, lambda: f"the slots of A are right again: {witness.slots(origin)}; {a.trouble()}")
        c = group.add("BOXC")
        c.wait_for_events(2 * EVENTS + 2)
        assert_equal_histories([a, c], 2 * EVENTS + 2)


def test_broker_wiped_by_a_stranger_loses_nothing(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.wait_for_status(lambda status: bool(status.devices), "B is known")
        b.stop()
        a.write(write_lines(tmp_path / "lines.jsonl", range(EVENTS)))
        assert a.cli.json("flush")["safe_in"] == "broker"
        witness = Witness(own_broker, group.token)
        with LinkOwner(own_broker.address) as attacker:
            held = witness.retained()
            for number, topic in enumerate(held):
                attacker.link.publish(topic, b"", retain=True, token=number)
            attacker.wait_for(Published, count=len(held))
        assert a.cli.json("flush")["safe_in"] == "broker"
        a.stop()
        b.start()
        b.wait_for_events(EVENTS)
        assert_equal_histories([a, b], EVENTS)


def planted(witness: Witness, origin: OriginId, random: Random, replayed: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """(topic, payload, retain) of all that an outsider, and a bad holder of the token, might publish."""
    topics, keys = witness.topics, witness.keys
    stranger = DeviceKey(random.randbytes(32))
    incarnation = random.randbytes(12)
    signer = Signer(stranger, incarnation, short(root_hash(keys.group, stranger.public, incarnation)))
    own = [topics.head(origin), topics.vector(origin, 0), topics.index(origin), topics.standing(origin)]
    own += [topics.presence(origin), topics.segment(origin, 0), topics.segment(origin, 31)]
    others = [topics.head(signer.origin), topics.vector(signer.origin, 9), f"{topics.prefix}/h/../x"]
    shared = [topics.live, topics.want, topics.ask, topics.fill(origin, 1), f"{topics.prefix}/f/none"]
    for topic in (*own, *others, *shared):
        retain = topic not in shared or random.random() < 0.5
        nonce = random.randbytes(24)
        yield topic, b"", retain
        yield topic, random.randbytes(1), retain
        yield topic, b"\x01" + random.randbytes(random.randrange(1, 400)), retain
        yield topic, bytes((2,)) + random.randbytes(50), retain
        yield topic, random.randbytes(150_000), retain
        yield topic, replayed, retain
        yield topic, seal(keys, topic, b"", nonce), retain
        yield topic, seal(keys, topic, bytes((99, 0)) + random.randbytes(200), nonce), retain
        yield topic, seal(keys, topic, bytes((Kind.LIVE, 1)) + BOMB[:50_000], nonce), retain
        yield topic, seal(keys, topic, bytes((Kind.LIVE, 0)) + random.randbytes(500), nonce), retain
        for kind in Kind:
            forged = stranger.public + incarnation + random.randbytes(64)
            yield topic, seal(keys, topic, bytes((kind, 0)) + forged + b"\x93\x01\x02\x03", nonce), retain
            if kind not in {Kind.LIVE, Kind.FENCE}:
                yield topic, close_frame(keys, topic, kind, signer, Packed(0, random.randbytes(80)), nonce), retain


def dropped_by(laptop: Laptop) -> dict[str, int]:
    """How much its daemon has dropped, by reason."""
    counters = DaemonClient(laptop.folder).info().live.counters
    return {name.removeprefix("dropped."): count for name, count in counters.items() if name.startswith("dropped.")}
