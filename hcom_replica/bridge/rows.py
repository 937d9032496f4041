"""From a row of hcom's database to an event of the log (hcom-bridge-v1 section 2). Pure but for the calendar.

Owns the key `_hcom` in bodies: which row of which database an event was, so that it is never taken twice.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from hcom_replica.bridge.database import Row
from hcom_replica.limits import AGENT_BYTES_MAX, KIND_BYTES_MAX
from hcom_replica.wire.event import BODY_BYTES_MAX, Draft

AGENT: Final = "agent"
"""Kind of the events that tell what an agent is: its tool, folder, tag ...; `{"gone": true}` when it is no more."""

MARK: Final = "_hcom"
_DB: Final = re.compile(r"[0-9a-f]{8}")
_HASH: Final = re.compile(r"[0-9a-f]{16}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STRANGE: Final = "hcom"
"""Kind of a row whose own type cannot be a kind."""

_TEXT_CHARS_KEPT: Final = 1 << 20
_UUID_CHARS_MAX: Final = 64


class Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an event comes from.

    Attributes:
        db: 8 hex digits that stand for one life of a database, between resets and restores.
        id: of the row.
        after: id of the row that had been taken before it: all between were looked at, and are not to be taken.
        hash: 16 hex digits of the row.
        reply_to: as hcom has it, where the event names what it answers by our own id.
        peer: UUID of the machine that wrote the row, where that runs only hcom (B8.4): the rest speaks of its rows.
        old: the row was there before our group met that machine.
    """

    db: str
    id: int
    after: int
    hash: str
    reply_to: str | None = None
    peer: str | None = None
    old: bool = False


class _Marked(msgspec.Struct):
    """A body of which only the mark is read."""

    mark: Mark | None = msgspec.field(name=MARK, default=None)


class _Peer(msgspec.Struct):
    """A mark of which only the peer is read: the rest need not be one."""

    peer: str | None = None


class _OfPeer(msgspec.Struct):
    """A body of which only the peer in the mark is read."""

    mark: _Peer | None = msgspec.field(name=MARK, default=None)


_encode = msgspec.json.Encoder().encode
_decode_peer = msgspec.json.Decoder(_OfPeer).decode
_decode_mark = msgspec.json.Decoder(_Marked).decode


def draft_of(row: Row, db: str, after: int, reply_to: str | None) -> Draft:
    """Make the event of a row.

    Args:
        row: of an agent of this device.
        db: see `Mark`.
        after: the same.
        reply_to: our id of the event that it answers; None when that is not known.
    """
    return marked_draft(row, Mark(db, row.id, after, row.hash.hex()), body_of(row.data), reply_to)


def marked_draft(row: Row, mark: Mark, data: dict[str, Any], reply_to: str | None) -> Draft:
    """Make the event of a row whose mark is made and whose data was read."""
    stated = data.get("reply_to")
    if reply_to is not None:
        mark = msgspec.structs.replace(mark, reply_to=stated if isinstance(stated, str) else None)
        data["reply_to"] = reply_to
    data.pop("reply_to_local", None)
    body = _encode({**data, MARK: mark})
    if len(body) > BODY_BYTES_MAX:
        body = _encode({"text": row.data[:_TEXT_CHARS_KEPT], "too_large_chars": len(row.data), MARK: mark})
    usable = 0 < len(row.type.encode()) <= KIND_BYTES_MAX and not row.type.startswith("_")
    return Draft(row.type if usable else _STRANGE, agent_of(row.instance), time_us(row.timestamp), body)


def body_of(text: str) -> dict[str, Any]:
    """A row's data as an object; what is none is kept as text, under `malformed`."""
    try:
        data = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        data = None
    if isinstance(data, dict):
        data.pop(MARK, None)
        return data
    return {"malformed": text}


def agent_of(instance: str) -> str | None:
    """Who did it; None for nobody, cut where no agent's name can be so long."""
    return instance.encode()[:AGENT_BYTES_MAX].decode(errors="ignore") or None


def mark_of(body: bytes) -> Mark | None:
    """Which row an event was; None when it was none."""
    if b'"_hcom"' not in body:
        return None
    try:
        mark = _decode_mark(body).mark
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return mark if mark is not None and _is_sound(mark) else None


def peer_of(body: bytes) -> str | None:
    """UUID of the machine with hcom only that an event speaks for; None when it speaks for none."""
    if b'"_hcom"' not in body or b'"peer"' not in body:
        return None
    try:
        mark = _decode_peer(body).mark
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if mark is None else mark.peer


def _is_sound(mark: Mark) -> bool:
    """Whether a peer's mark is one that could have been made here."""
    named = mark.peer is None or 0 < len(mark.peer) <= _UUID_CHARS_MAX
    return named and bool(_DB.fullmatch(mark.db) and _HASH.fullmatch(mark.hash)) and 0 <= mark.after < mark.id < 1 << 63


def agent_draft(name: str, columns: dict[str, Any] | None, peer: str | None = None) -> Draft:
    """Tell what an agent is, or that it is no more; `peer` is as in `Mark`."""
    told = {"gone": True} if columns is None else columns
    return Draft(AGENT, agent_of(name), None, _encode(told if peer is None else {**told, MARK: {"peer": peer}}))


def time_us(text: str) -> int | None:
    """Microseconds since 1970 of a timestamp; None when it is none."""
    try:
        at = datetime.fromisoformat(text)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return (at - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        return None


def iso_us(micros: int) -> str:
    """A time as hcom writes it; the end of the year 9999 for what is beyond, 1970 for what is before year 1."""
    try:
        return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds")
    except OverflowError:
        return "9999-12-31T23:59:59.999999+00:00" if micros > 0 else _EPOCH.isoformat(timespec="microseconds")
