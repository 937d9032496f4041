"""Machines that run only hcom, and who carries for them: a fold over the log (hcom-bridge-v1 B8.2, B8.5).

Owns the cursor over arrivals up to which that was read. It is brought up to date before anybody asks; nothing of it is
decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from hcom_replica.bridge.ledger import CLAIM_KIND, PEER_KIND, Arrived, BridgeLog, Key, Shelved, may_be_of_kind
from hcom_replica.ids import EventId, OriginId
from hcom_replica.wire.event import Event, RedactedEvent, decode_event

CURSOR: Final = "hcom-peers"
PAGE: Final = 1_024
WRITE_EVERY: Final = 4_096
"""Arrivals after which it is written down how far they were read."""

PEERS_MAX: Final = 256
"""Machines of all such groups that are taken notice of."""

GROUP_CHARS: Final = 16
_TERM_MAX: Final = 1 << 53
_NAME_CHARS_MAX: Final = 32
_UUID_CHARS_MAX: Final = 64


class Peer(msgspec.Struct):
    """A machine that runs only hcom.

    Attributes:
        uuid: as its group knows it.
        name: as ours does.
        group: 16 hex digits that stand for its group.
        here: its carrier sees it.
        carrier: device that told of it.
        hlc: of when it was told of last.
    """

    uuid: str
    name: str
    group: str
    here: bool
    carrier: bytes
    hlc: int


class Claim(msgspec.Struct):
    """What a device said last of carrying for a group.

    Attributes:
        term: see B8.2.
        event: id of the event.
        joined: it carries, or would; False when it took that back.
        first: arrival number of the first claim of this device.
        hlc: of the event.
        given: origin -> the highest seq that this device had published when it took a claim back.
    """

    term: int
    event: str
    joined: bool
    first: int
    hlc: int
    given: dict[str, int]

    @property
    def rank(self) -> tuple[int, str]:
        """What claims are compared by."""
        return self.term, self.event


class Told(msgspec.Struct):
    """The body of an `hcom_peer` event."""

    uuid: str
    name: str
    group: str
    here: bool = True


class Claimed(msgspec.Struct, omit_defaults=True):
    """The body of an `hcom_gateway` event; `given` is the highest seqs that were published, by origin, at the end."""

    group: str
    state: str
    term: int
    given: dict[str, int] = {}


def peer_device(uuid: str) -> bytes:
    """Eight bytes that stand for a peer where those of a device stand."""
    return blake2b(b"hcom-peer" + uuid.encode(), digest_size=8).digest()


class Foreigners:
    """The fold.

    Args:
        log: to read, and on whose shelf it is kept.

    Attributes:
        peers: by `peer_device`.
        claims: by group and device.
    """

    def __init__(self, log: BridgeLog) -> None:
        self._log = log
        self._reached = self._written = log.cursor(CURSOR)
        shelf = log.shelf
        self.peers = {
            key[1:]: msgspec.msgpack.decode(value, type=Peer) for key, value in shelf.page(*Key.PEER.all(), PEERS_MAX)
        }
        self.claims = {
            (key[1:9].hex(), key[9:]): msgspec.msgpack.decode(value, type=Claim)
            for key, value in shelf.page(*Key.CLAIM.all(), 1 << 16)
        }

    def follow(self, device_of: Callable[[OriginId], bytes], now_ms: int) -> bool:
        """Read what has arrived, a page at a time; return whether there is more.

        Where that goes on is written when something was found, and now and then: what is read again says the same.

        Raises:
            StoreError: nothing was changed.
        """
        if self._reached == self._log.last_arrival():
            return False
        page = self._log.arrivals(self._reached, PAGE)
        notes: dict[bytes, bytes | None] = {}
        for arrived in page:
            if may_be_of_kind(arrived, b"hcom_"):
                event = decode_event(arrived.event.record)
                notes.update(self._take(arrived, event, device_of(arrived.event.origin)))
        reached = page[-1].number if page else self._reached
        if notes or reached - self._written >= WRITE_EVERY:
            self._log.append([], now_ms, cursor=(CURSOR, reached), shelved=lambda _ids: notes.items())
            self._written = reached
        self._reached = reached
        return len(page) == PAGE

    def since(self, group: str) -> int | None:
        """Arrival number of the first claim of a group; None when there is none."""
        return min((claim.first for (of, _), claim in self.claims.items() if of == group), default=None)

    def given(self, group: str) -> dict[OriginId, int]:
        """The highest seqs that carriers of a group had published when they took their claims back."""
        highest: dict[OriginId, int] = {}
        for (of, _), claim in self.claims.items():
            for origin, seq in claim.given.items() if of == group else ():
                highest[OriginId(bytes.fromhex(origin))] = max(highest.get(OriginId(bytes.fromhex(origin)), 0), seq)
        return highest

    def standing(self, group: str, gone: Iterable[bytes]) -> dict[bytes, Claim]:
        """The claims of a group that were not taken back, but for those of devices that have left ours."""
        left = set(gone)
        return {
            device: claim
            for (of, device), claim in self.claims.items()
            if of == group and claim.joined and device not in left
        }

    def _take(self, arrived: Arrived, event: Event, device: bytes) -> Iterable[Shelved]:
        if isinstance(event, RedactedEvent):
            return
        try:
            if event.kind == PEER_KIND:
                yield from self._peer(msgspec.json.decode(event.body, type=Told), event.hlc, device)
            elif event.kind == CLAIM_KIND:
                said = msgspec.json.decode(event.body, type=Claimed)
                yield from self._claim(said, EventId(arrived.event.origin, arrived.event.seq), arrived, device)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return

    def _peer(self, told: Told, hlc: int, device: bytes) -> Iterable[Shelved]:
        key = peer_device(told.uuid)
        before = self.peers.get(key)
        sound = 0 < len(told.uuid) <= _UUID_CHARS_MAX and 0 < len(told.name) <= _NAME_CHARS_MAX and ":" not in told.name
        if not sound or not _is_group(told.group) or (before is not None and before.hlc > hlc):
            return
        if before is None and len(self.peers) >= PEERS_MAX:
            return
        peer = self.peers[key] = Peer(told.uuid, told.name, told.group, told.here, device, hlc)
        yield Key.PEER.of(key), msgspec.msgpack.encode(peer)

    def _claim(self, said: Claimed, name: EventId, arrived: Arrived, device: bytes) -> Iterable[Shelved]:
        if not _is_group(said.group) or not 0 < said.term < _TERM_MAX or said.state not in ("join", "leave"):
            return
        before = self.claims.get((said.group, device))
        if before is not None and arrived.event.hlc < before.hlc:
            return
        first = arrived.number if before is None else before.first
        given = {**(before.given if before is not None else {}), **_sound(said.given)}
        claim = Claim(said.term, str(name), said.state == "join", first, arrived.event.hlc, given)
        self.claims[said.group, device] = claim
        yield Key.CLAIM.of(bytes.fromhex(said.group), device), msgspec.msgpack.encode(claim)


def _sound(given: dict[str, int]) -> dict[str, int]:
    return {origin: seq for origin, seq in given.items() if _is_group(origin) and 0 < seq < 1 << 63}


def _is_group(text: str) -> bool:
    """Whether a text is 8 bytes in hex, as groups and origins are written."""
    return len(text) == GROUP_CHARS and all(char in "0123456789abcdef" for char in text)
