"""Invariants, checked from outside the replicas: of every disk after each of its transactions, and of all at the end.

Owns a model of what exists: which events each disk has ever held. It knows records, origins and chains, and nothing of
how replicas come to hold them. What it finds raises `Violation`, which names the rule (protocol-v1 section 10).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from hcom_replica.core.chain import walk
from hcom_replica.core.origin import OriginState
from hcom_replica.ids import EventId, OriginId
from hcom_replica.store.kv import Table
from hcom_replica.store.log import Log
from hcom_replica.store.schema import StoredEvent
from hcom_replica.testing.device import Device
from hcom_replica.testing.disk import Disk
from hcom_replica.wire.event import REDACTED, RedactedEvent, decode_event, is_system
from hcom_replica.wire.signing import COMMIT, commit_digest, hash32, verify

_RUN_BYTES: Final = 1 << 20

Place = tuple[OriginId, int]
"""(origin, seq)."""


class Violation(AssertionError):
    """A rule of the protocol does not hold.

    Args:
        rule: its short name, as in protocol-v1 section 10, or of a clause.
        message: what was seen.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


@lru_cache(maxsize=1 << 14)
def fingerprint(record: bytes, tip: bytes = b"") -> bytes:
    """What stands for an event in the model, redacted or not; all events of a simulated world differ.

    Args:
        record: encoded.
        tip: of the chain at it: two branches or devices may say the same of members and epochs in the same moment.
    """
    event = decode_event(record)
    if isinstance(event, RedactedEvent):
        return blake2b(event.header + event.body_hash, digest_size=16).digest()
    own = tip if is_system(event.kind) else b""
    header = record[: len(record) - len(event.body)]
    return blake2b(header + hash32(event.body), digest_size=16, key=own).digest()


@dataclass(slots=True)
class DiskWatch:
    """What is known of one disk.

    Attributes:
        kv: the disk.
        txn: its transactions looked at.
        arrival: its arrivals looked at.
        held: every event it has ever held -> where.
        states: its origins, as last seen.
        own: the origin its device appends to.
        gone: events of which it holds the word that their bodies are to go.
        clean: those of them that were found without their body.
    """

    kv: Disk
    txn: int = -1
    arrival: int = 0
    held: dict[bytes, Place] = field(default_factory=dict)
    states: dict[OriginId, OriginState] = field(default_factory=dict)
    own: OriginId | None = None
    gone: set[bytes] = field(default_factory=set)
    clean: set[bytes] = field(default_factory=set)


class Checkers:
    """The checks of one world.

    Args:
        group: 16 bytes.

    Attributes:
        disks: device name -> its present disk.
        twinned: keys of devices that were cloned or restored: only these may fork, or take back a word.
        liars: keys of members who take back a head: what it said is not held against those who heard it.
        redactions: body of each `_redact` that was ever made -> the event it means.
    """

    def __init__(self, group: bytes) -> None:
        self._group = group
        self.disks: dict[str, DiskWatch] = {}
        self.twinned: set[bytes] = set()
        self.liars: set[bytes] = set()
        self.redactions: dict[bytes, bytes] = {}
        self._copies: Counter[bytes] = Counter()
        self._contents: dict[Place, bytes] = {}
        self._held_by_writer: dict[OriginId, dict[OriginId, int]] = {}
        self._promises: dict[OriginId, tuple[int, int]] = {}

    # --- after each transaction --------------------------------------------------------------------------------

    def look(self, device: Device) -> None:
        """Look at a device's disk, if anything was written to it since the last look.

        Raises:
            Violation: S1, S2, S3, S4, S5, S9 or P6.3.
        """
        watch = self.disks.get(device.name)
        if watch is None or watch.kv is not device.kv:
            self.forget(device.name)
            watch = self.disks[device.name] = DiskWatch(device.kv)
        txn = device.log.last_txn()
        if txn == watch.txn:
            return
        watch.txn = txn
        self._look_at_arrivals(device, watch)
        self._look_at_states(device, watch)
        self._look_at_bodies(device, watch)

    def forget(self, name: str) -> None:
        """A device is gone for good, and its disk with it."""
        watch = self.disks.pop(name, None)
        self._copies.subtract(list(watch.held) if watch is not None else ())
        self._copies += Counter()

    def promised(self, origin: OriginId, seq: int, promise: int) -> None:
        """A head has said: nothing of `origin` after `seq` is at or before `promise`."""
        known = self._promises.get(origin, (0, 0))
        self._promises[origin] = max(known, (promise, seq))

    def _look_at_arrivals(self, device: Device, watch: DiskWatch) -> None:
        states = _states(device.log)
        while rows := device.log.arrivals(watch.arrival):
            for row in rows:
                if row.number != watch.arrival + 1:
                    raise Violation("S1", f"{device.name}: arrival {row.number} follows {watch.arrival}")
                watch.arrival = row.number
                place = (row.event.origin, row.event.seq)
                print_ = _print(device.log, row.event)
                if print_ in watch.held:
                    raise Violation("S2", f"{device.name} stored {_name(place)} twice")
                watch.held[print_] = place
                self._note_redaction(watch, row.event.record)
                self._copies[print_] += 1
                self._note_content(place, print_, row.event.hlc, states[place[0]])

    def _note_content(self, place: Place, print_: bytes, hlc: int, state: OriginState) -> None:
        known = self._contents.setdefault(place, print_)
        if known != print_ and state.key not in self.twinned:
            raise Violation("S5", f"{_name(place)} was given out twice")
        promise, seq = self._promises.get(place[0], (0, 0))
        if place[1] > seq and hlc <= promise and state.key not in self.twinned:
            raise Violation("P6.3", f"{_name(place)} has an hlc that its device had promised not to use")

    def _look_at_states(self, device: Device, watch: DiskWatch) -> None:
        states = {state.id: state for state in device.log.origins()}
        with device.kv.read() as txn:
            rows = (txn.count(Table.LOG), txn.count(Table.INDEX))
        if {*rows, watch.arrival} != {len(watch.held)}:
            raise Violation("S1", f"{device.name} held {len(watch.held)} events and has {rows} rows")
        if sum(state.seq - state.base for state in states.values()) != len(watch.held):
            raise Violation("S3", f"{device.name}: its prefixes do not add up to what it holds")
        split = {state.key for state in states.values() if state.forks and state.id not in watch.states}
        for origin, before in watch.states.items():
            after = states.get(origin)
            if after is None or (after.seq < before.seq and after.key not in split):
                raise Violation("S4", f"{device.name} went back in {origin.hex()} from {before.seq}")
        watch.states = states
        own = device.log.own_origin()
        watch.own = own.id if own is not None else None
        if own is not None:
            ever = self._held_by_writer.setdefault(own.id, {})
            for origin, state in states.items():
                ever[origin] = max(state.seq, ever.get(origin, 0))

    def _note_redaction(self, watch: DiskWatch, record: bytes) -> None:
        if self.redactions and (gone := self.redactions.get(decode_event(record).body)) is not None:
            watch.gone.add(gone)

    def _look_at_bodies(self, device: Device, watch: DiskWatch) -> None:
        """What a disk holds the word for that its body is to go has no body there."""
        for print_ in sorted(watch.gone & watch.held.keys() - watch.clean):
            origin, seq = watch.held[print_]
            for state in [origin, *watch.states]:  # a fork may have moved it
                row = device.log.event(EventId(state, seq))
                if row is not None and fingerprint(row.record) == print_:
                    if row.record[:1] != REDACTED:
                        raise Violation("S9", f"{device.name} holds the body of {_name((state, seq))}")
                    watch.clean.add(print_)
                    break

    # --- at any time -------------------------------------------------------------------------------------------

    def ever_held(self, writer: OriginId, origin: OriginId) -> int:
        """The highest seq of an origin that a disk held while its device wrote `writer`."""
        return self._held_by_writer.get(writer, {}).get(origin, 0)

    def existing(self) -> int:
        """How many events some disk holds."""
        return len(self._copies)

    def lacking(self, name: str) -> int:
        """How many events exist that a device does not hold."""
        return self.existing() - len(self.disks[name].held)

    def highest(self, origin: OriginId, among: Collection[str] | None = None) -> int:
        """The highest seq of an origin that any disk holds, or any of these devices; 0 when none does."""
        watches = [watch for name, watch in self.disks.items() if among is None or name in among]
        return max((watch.states[origin].seq for watch in watches if origin in watch.states), default=0)

    def check_log(self, device: Device) -> None:
        """Walk the whole log of a device: positions, prefixes, chains, signatures; and that nothing has vanished.

        Raises:
            Violation: S1, S3, S9 or P4.
        """
        self.look(device)
        found: dict[bytes, Place] = {}
        previous = b""
        for event in device.log.events():
            if event.key <= previous:
                raise Violation("P3.2", f"{device.name}: two events with one place in the order")
            previous = event.key
            print_ = _print(device.log, event)
            found[print_] = (event.origin, event.seq)
            if print_ in self.disks[device.name].gone and event.record[:1] != REDACTED:
                raise Violation("S9", f"{device.name} holds the body of {_name(found[print_])}")
        gone = set(self.disks[device.name].held) - set(found)
        if gone:
            raise Violation("S1", f"{device.name} has lost {len(gone)} events it held")
        places = set(found.values())
        for state in device.log.origins():
            missing = [seq for seq in range(state.base + 1, state.seq + 1) if (state.id, seq) not in places]
            if missing:
                raise Violation("S3", f"{device.name} lacks {_name((state.id, missing[0]))}")
            self._check_chain(device, state)

    def _check_chain(self, device: Device, state: OriginState) -> None:
        tip = device.log.tip_at(state.id, state.base)
        at, hlc, root = state.base, 0, state.root(self._group)
        while at < state.seq:
            run = device.log.read_run(state.id, at + 1, _RUN_BYTES)
            if run is None or run.first != at + 1 or run.prev != tip:
                raise Violation("P4.1", f"{device.name}: no run goes on from {_name((state.id, at))}")
            signed = {row.seq: row for row in run.commits}
            for record in run.records:
                event = decode_event(record)
                if event.hlc <= hlc:
                    raise Violation("P3.2", f"{device.name}: hlc does not grow in {state.id.hex()}")
                at, hlc, tip = at + 1, event.hlc, walk(tip, [record])
                if row := signed.get(at):
                    verify(state.key, COMMIT, commit_digest(root, at, hlc, row.cum, tip), row.signature)
        if (tip, hlc) != (state.tip, state.hlc):
            raise Violation("P4.1", f"{device.name}: the state of {state.id.hex()} is not that of its events")

    def check_order(self, one: Log, other: Log) -> None:
        """What two logs both hold stands in the same order in both.

        Raises:
            Violation: P3.2.
        """
        first, second = _order(one), _order(other)
        both = set(first) & set(second)
        if [p for p in first if p in both] != [p for p in second if p in both]:
            raise Violation("P3.2", "two logs order their common events differently")

    def check_bytes(self, one: Device, other: Device) -> None:
        """Two logs that hold the same events show the same bytes.

        But for this: the word for a redaction can get lost with the disk that it was written to, while what was sent
        without its body has none any more.

        Raises:
            Violation: P3.10.
        """
        rows = {event.key: event.record for event in other.log.events()}
        for event in one.log.events():
            if rows.get(event.key, event.record) == event.record:
                continue
            state = one.log.origin_state(event.origin)
            lost = state is not None and state.key in self.twinned
            if not lost or any(fingerprint(event.record) in watch.gone for watch in self.disks.values()):
                raise Violation(
                    "P3.10", f"{one.name} and {other.name} show {_name((event.origin, event.seq))} differently"
                )


def _order(log: Log) -> list[bytes]:
    return [_print(log, event) for event in log.events()]


def _states(log: Log) -> dict[OriginId, OriginState]:
    return {state.id: state for state in log.origins()}


@lru_cache(maxsize=1 << 14)
def _is_system(record: bytes) -> bool:
    event = decode_event(record)
    return not isinstance(event, RedactedEvent) and is_system(event.kind)


def _print(log: Log, event: StoredEvent) -> bytes:
    tip = log.tip_at(event.origin, event.seq) if _is_system(event.record) else b""
    return fingerprint(event.record, tip)


def _name(place: Place) -> str:
    return f"{place[0].hex()}:{place[1]}"
