"""A device without a daemon: its log on disk, its messages, and the way of remote batches into it.

What a daemon does with a batch between the broker and the disk is done here by the very same parts of the core, in the
same order, without a broker around it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Final

from hcom_replica.core.append import Writer
from hcom_replica.core.effects import Ingest
from hcom_replica.core.intake import Intake
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.origin import OriginState, fresh_origin
from hcom_replica.core.outbox import Outbox
from hcom_replica.core.packer import bundle
from hcom_replica.core.peers import Peers
from hcom_replica.core.settings import Settings
from hcom_replica.store.continuity import Continuity
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.log import Log
from hcom_replica.store.marker import MarkerFolder
from hcom_replica.store.place import place_of
from hcom_replica.wire.batch import Descriptor, decode_batch
from hcom_replica.wire.event import Draft, decode_event, is_system
from hcom_replica.wire.frame import ROOM_BYTES, Kind, Signer, open_frame
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey

KEYS: Final = GroupKeys(b"benchmark group.", b"a secret that everybody knows...")
TOPIC: Final = "bench/m/slot"
STEP_MESSAGES: Final = 16
"""Messages that are stored in one transaction: what a daemon finds in its queue when it catches up."""


def wall_ms() -> int:
    """UTC wall clock."""
    return time.time_ns() // 1_000_000


class Device:
    """One device.

    Args:
        log: its log.
        key: its identity.
    """

    def __init__(self, log: Log, key: DeviceKey) -> None:
        self.log = log
        self.key = key

    def append(self, drafts: Sequence[Draft], size: int) -> None:
        """Append in durable batches of `size`."""
        for at in range(0, len(drafts), size):
            self.log.append(drafts[at : at + size], wall_ms())

    def messages(self) -> list[bytes]:
        """The whole own log as sealed and signed messages, as another device gets them when it catches up."""
        state = self.log.own_origin()
        assert state is not None
        outbox = Outbox(KEYS, Random(1), 1)
        signer = Signer(self.key, state.incarnation, state.id)
        sealed, first = [], 1
        while ready := bundle(self.log, state, first, ROOM_BYTES):
            assert ready.whole is not None, "a history with an event that fits no message"
            sealed.append(outbox.seal(TOPIC, Kind.SEGMENT, signer, ready.whole))
            first = ready.last + 1
        return sealed


class Receiver:
    """Takes in messages as a daemon does: unseal, check the sender, inflate, decode, verify, place, store.

    Args:
        log: where to.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._outbox = Outbox(KEYS, Random(2), 1)
        self._knowledge = Knowledge(log, Peers(KEYS.group), Settings().lease_ms)
        self._intake = Intake(self._outbox, self._knowledge)

    def take(self, messages: Sequence[bytes]) -> None:
        """Store messages, some in each transaction."""
        for at in range(0, len(messages), STEP_MESSAGES):
            for message in messages[at : at + STEP_MESSAGES]:
                self._intake.offer(decode_batch(open_frame(KEYS, TOPIC, message).payload))
            self._store()

    def _store(self) -> None:
        self._intake.take()
        for effect in self._outbox.take():
            if isinstance(effect, Ingest):
                self._log.ingest(effect.runs, wall_ms())
                self._knowledge.reload()
                self._intake.settled()


@contextmanager
def device(folder: Path, name: str) -> Iterator[Device]:
    """Make a device with an empty log on disk."""
    folder.mkdir(parents=True)
    key = DeviceKey(name.encode().ljust(32, b"."))
    kv = LmdbKv(folder / "log")
    marks = MarkerFolder(folder / "state")
    held_to = Continuity(partial(place_of, folder / "log"), lambda: (bytes(16), bytes(16)), marks)
    try:
        yield Device(Log(kv, KEYS.group, Writer(key, KEYS.group, name), continuity=held_to), key)
    finally:
        kv.close()
        held_to.close()


def unwritten(written: Device) -> OriginState:
    """A device's origin as it was before its first event."""
    state = written.log.own_origin()
    assert state is not None, "it has written nothing"
    return fresh_origin(KEYS.group, Descriptor(written.key.public, state.incarnation, ()))


def digest(log: Log) -> str:
    """A digest of everything a log holds, in canonical order: places and bytes."""
    found = blake2b(digest_size=16)
    for event in log.events():
        found.update(event.key + event.seq.to_bytes(8, "big") + event.record)
    return found.hexdigest()


def assert_holds(log: Log, drafts: Sequence[Draft]) -> None:
    """Check that a log holds exactly these events, in their order, every field as it was given."""
    events = (decode_event(stored.record) for stored in log.events())
    held = [(event.kind, event.agent, event.time, event.body) for event in events if not is_system(event.kind)]
    assert held == [(given.kind, given.agent, given.time, given.body) for given in drafts], "the log is not as written"
