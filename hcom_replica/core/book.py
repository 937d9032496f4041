"""What the log says of admissions and epochs, as it was said: judged elsewhere (protocol-v1 section 12)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from hcom_replica.core.hello import Admit, Adopt, Hello, Move, NewEpoch, System
from hcom_replica.core.origin import OriginState
from hcom_replica.ids import ORIGIN_BYTES, OriginId
from hcom_replica.wire.epoch import Certificate

_SIZES = (32, 64)
_CHECK_BYTES = 16


class Adoption(NamedTuple):
    """A device says that it has an epoch.

    Attributes:
        generation: of its incarnation.
        seq: of the event.
        origin: in which it stands.
        check: of the epoch.
    """

    generation: int
    seq: int
    origin: OriginId
    check: bytes


class Moved(NamedTuple):
    """A device says that the group meets at another broker (P16.1). The greater one counts.

    Attributes:
        number: one more than of the move before it.
        hlc: of the event that says so.
        origin: in which it stands.
        broker: URL.
    """

    number: int
    hlc: int
    origin: OriginId
    broker: str


class Book(msgspec.Struct, frozen=True):
    """Collected from the system events. A key is a device's, 32 bytes.

    Attributes:
        epochs: key -> checks of the epochs that the device says it has.
        certificates: as they stand in `_admit`, unchecked.
        records: encoded records as they stand in `_epoch`, unchecked.
        notices: encoded notices as they stand in `_adopt`, unchecked.
        held: key -> origin -> the most that the device says it holds of a revoked one's.
        adopted: key -> its newest adoption: by incarnation and seq, because its clock may have been turned back.
        moves: key -> the greatest of its moves.
    """

    epochs: dict[bytes, set[bytes]] = msgspec.field(default_factory=dict)
    certificates: set[Certificate] = msgspec.field(default_factory=set)
    records: set[bytes] = msgspec.field(default_factory=set)
    notices: set[bytes] = msgspec.field(default_factory=set)
    held: dict[bytes, dict[OriginId, int]] = msgspec.field(default_factory=dict)
    adopted: dict[bytes, Adoption] = msgspec.field(default_factory=dict)
    moves: dict[bytes, Moved] = msgspec.field(default_factory=dict)

    def note(self, state: OriginState, seq: int, stated: System | None, hlc: int) -> None:
        """Take down one system event of an origin, which has that hlc."""
        key = state.key
        if isinstance(stated, Hello):
            self._note_epoch(key, stated.epoch)
        elif isinstance(stated, Admit):
            self.certificates.update(_certificates(key, stated))
        elif isinstance(stated, NewEpoch):
            self.records.add(stated.record)
        elif isinstance(stated, Adopt):
            self._note_adopted(state, seq, stated)
        elif isinstance(stated, Move):
            moved = Moved(stated.number, hlc, state.id, stated.broker)
            self.moves[key] = max(moved, self.moves.get(key, moved))

    def _note_epoch(self, key: bytes, text: str) -> None:
        check = _hex(text)
        if len(check) == _CHECK_BYTES:
            self.epochs.setdefault(key, set()).add(check)

    def _note_adopted(self, state: OriginState, seq: int, stated: Adopt) -> None:
        key, adoption = state.key, Adoption(state.generation, seq, state.id, _hex(stated.epoch))
        self._note_epoch(key, stated.epoch)
        self.adopted[key] = max(adoption, self.adopted.get(key, adoption))
        held = self.held.setdefault(key, {})
        for text, upto in stated.held.items():
            name = OriginId(_hex(text))
            if len(name) == ORIGIN_BYTES:
                held[name] = max(held.get(name, 0), upto)
        if stated.notice is not None:
            self.notices.add(stated.notice)


def _certificates(admitter: bytes, stated: Admit) -> list[Certificate]:
    found = [
        Certificate(admitter, number, _hex(device), _hex(signature))
        for device, number, signature in stated.certificates
    ]
    return [one for one in found if (len(one.device), len(one.signature)) == _SIZES and one.number < 1 << 31]


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
