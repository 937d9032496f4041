"""Devices in memory, carrying runs between them as the wire would, and a check of everything that a log promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hcom_replica.core.append import Writer
from hcom_replica.core.chain import walk
from hcom_replica.core.origin import OriginState
from hcom_replica.core.report import IngestReport
from hcom_replica.core.verify import Run, verify_batch
from hcom_replica.ids import EventId, OriginId
from hcom_replica.limits import COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX
from hcom_replica.store.kv import Kv, Table
from hcom_replica.store.log import Log
from hcom_replica.store.memory_kv import MemoryKv
from hcom_replica.store.schema import ANCHOR, StoredEvent, seq_key, unpack_commit, unpack_stretch
from hcom_replica.wire.batch import Batch, Commit, decode_batch, encode_batch
from hcom_replica.wire.event import Draft, RedactedEvent, decode_event, encoded_bytes, is_system
from hcom_replica.wire.signing import COMMIT, DeviceKey, commit_digest, short, verify

GROUP = b"group-of-16bytes"
NOW = 1_800_000_000_000
"""Wall clock of all devices, in ms, unless a test says otherwise."""


def counter_entropy(seed: int) -> Callable[[int], bytes]:
    """Bytes that differ with each call and each seed, the same in each run."""
    calls = 0

    def draw(count: int) -> bytes:
        nonlocal calls
        calls += 1
        return (seed << 32 | calls).to_bytes(count, "big")

    return draw


class Device:
    """A device over a Kv."""

    def __init__(self, name: str, kv: Kv | None = None, *, draw: int | None = None) -> None:
        self.name = name
        self.kv: Kv = MemoryKv() if kv is None else kv
        self.writer = Writer(DeviceKey(name.encode().ljust(32, b".")), GROUP, name)
        self.log = Log(self.kv, GROUP, self.writer, entropy=counter_entropy(draw or hash_of(name)))

    def clone(self, draw: int) -> Device:
        """The same device from a copy of its disk."""
        assert isinstance(self.kv, MemoryKv)
        return Device(self.name, self.kv.clone(), draw=draw)

    def emit(self, *bodies: str, now_ms: int = NOW) -> list[EventId]:
        """Append one event for each body."""
        return self.log.append([draft(body) for body in bodies], now_ms)

    def redact(self, name: EventId, now_ms: int = NOW) -> EventId | None:
        """Take the body of an own event away."""
        return self.log.redact(name, now_ms)

    @property
    def own(self) -> OriginState:
        """The current origin."""
        own = self.log.own_origin()
        assert own is not None
        return own

    def bodies(self) -> list[str]:
        """Bodies of all events that are not system events, in canonical order; empty where they are gone."""
        events = [decode_event(stored.record) for stored in self.log.events()]
        return [event.body.decode() for event in events if not is_system(event.kind)]

    def tips(self) -> dict[OriginId, tuple[int, bytes]]:
        """What it holds: seq and tip of every origin."""
        return {state.id: (state.seq, state.tip) for state in self.log.origins()}


def hash_of(name: str) -> int:
    """A small number for a name, the same in each run."""
    return int.from_bytes(name.encode()[:2], "big")


def draft(body: str) -> Draft:
    """A plain event."""
    return Draft("note", "luna", None, body.encode())


def carried(source: Device, target: Device, origin: OriginId, first: int, raw_bytes: int = 1 << 20) -> Run:
    """What `target` has verified of one answer of `source`; it knows who wrote it, also when it holds nothing yet."""
    stored = source.log.read_run(origin, first, raw_bytes)
    state = source.log.origin_state(origin)
    assert stored is not None
    assert state is not None
    commits = [Commit(row.seq, row.signature) for row in stored.commits]
    descriptor = state.descriptor if stored.first == state.base + 1 else None
    batch = Batch(origin, stored.first, stored.prev, stored.cum, stored.records, commits, descriptor)
    known = target.log.origin_state(origin) or (None if descriptor else state)
    return verify_batch(GROUP, decode_batch(encode_batch(batch)), known)


def answers(source: Device, target: Device, origin: OriginId, first: int, raw_bytes: int) -> Iterator[Run]:
    """All of an origin from `first` on, in runs."""
    state = source.log.origin_state(origin)
    assert state is not None
    while first <= state.seq:
        run = carried(source, target, origin, first, raw_bytes)
        yield run
        first = run.last + 1


def send(source: Device, target: Device, raw_bytes: int = 1 << 20, now_ms: int = NOW) -> list[IngestReport]:
    """Give everything of every origin to the target, held or not, a transaction for each run."""
    return [
        target.log.ingest([run], now_ms)
        for state in source.log.origins()
        for run in answers(source, target, state.id, state.base + 1, raw_bytes)
    ]


def converge(devices: list[Device], rounds: int = 12) -> None:
    """Let all send to all until nothing changes."""
    for _ in range(rounds):
        before = [device.tips() for device in devices]
        for source in devices:
            for target in devices:
                if source is not target:
                    send(source, target)
        if [device.tips() for device in devices] == before:
            return
    raise AssertionError("they do not come to rest")


def check_log(device: Device) -> None:
    """Check every invariant of storage-v1 on a device.

    Raises:
        AssertionError: one does not hold.
    """
    with device.kv.read() as txn:
        tables = {table: list(txn.scan(table)) for table in Table}
    log = dict(tables[Table.LOG])
    assert sorted(time + name[:8] for name, time in tables[Table.INDEX]) == [key for key, _ in tables[Table.LOG]]
    index, places = dict(tables[Table.INDEX]), list[bytes]()
    for row in tables[Table.ARRIVALS]:
        stretch = unpack_stretch(*row)
        assert stretch.number == len(places) + 1
        seqs = range(stretch.first, stretch.first + stretch.length)
        places += [index[seq_key(stretch.origin, seq)] + stretch.origin for seq in seqs]
    assert sorted(places) == sorted(log)
    assert device.log.last_arrival() == len(places)
    states = device.log.origins()
    for state in states:
        _check_origin(state, tables, log)
    held = sum(state.seq - state.base for state in states)
    assert held == len(log)
    assert device.log.event_count() == held - sum(state.system for state in states)
    assert len(tables[Table.SYSTEM]) == sum(state.system for state in states)


def _check_origin(state: OriginState, tables: dict[Table, list[tuple[bytes, bytes]]], log: dict[bytes, bytes]) -> None:
    index = [(int.from_bytes(key[8:], "big"), time) for key, time in tables[Table.INDEX] if key[:8] == state.id]
    assert [seq for seq, _ in index] == list(range(state.base + 1, state.seq + 1))
    commits = {
        row.seq: row for row in (unpack_commit(*item) for item in tables[Table.COMMITS] if item[0][:8] == state.id)
    }
    assert max(commits) == state.seq
    tip, cum, kept_seq, kept_cum = state.hash, 0, 0, 0
    if state.forks:
        anchor = commits.pop(state.base)
        assert anchor.signature == ANCHOR
        tip, cum, kept_seq, kept_cum = anchor.tip, anchor.cum, anchor.seq, anchor.cum
    redactions = dict(tables[Table.REDACTIONS])
    hlc = 0
    for seq, time in index:
        event = StoredEvent(time + state.id, log[time + state.id])
        assert (event.seq, event.hlc) == (seq, decode_event(event.record).hlc)
        assert event.hlc > hlc
        hlc, cum = event.hlc, cum + encoded_bytes([event.record])
        tip = walk(tip, [event.record])
        if short(state.root(GROUP)) + seq.to_bytes(8, "big") + tip in redactions:
            decoded = decode_event(event.record)
            assert isinstance(decoded, RedactedEvent) or is_system(decoded.kind)
        if seq == state.base + 1 and state.forks:
            assert tip == state.forks[-1].link
        row = commits.get(seq)
        if row is not None:
            assert (row.tip, row.cum, row.hlc) == (tip, cum, hlc)
            verify(state.key, COMMIT, commit_digest(state.root(GROUP), seq, hlc, cum, tip), row.signature)
            assert seq - kept_seq == 1 or (seq - kept_seq <= COMMIT_EVENTS_MAX and cum - kept_cum <= COMMIT_BYTES_MAX)
            kept_seq, kept_cum = seq, cum
    assert (tip, cum, hlc) == (state.tip, state.cum, state.hlc)
