"""From an event of the log to what hcom is given of it (hcom-bridge-v1 section 4). Pure.

Owns names (who is meant by `luna:BOXE`, on which machine), and whose inbox a message may come into: that of an agent
which existed when the message was written, judged by what was known here when the agent was first seen, never by time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.bridge.rows import MARK, iso_us
from hcom_replica.bridge.snapshot import HcomEvent
from hcom_replica.core.hlc import millis
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, parse_event_id
from hcom_replica.wire.event import Event

KINDS: Final = frozenset(("message", "status", "life", "bundle"))
"""What hcom is given: its own kinds of events."""

OURS: Final = "_replica"
_ALWAYS_LOCAL: Final = "bigboss"
_NAMES_MAX: Final = 1000
_encode = msgspec.json.Encoder().encode


class Place(NamedTuple):
    """Where names are read.

    Attributes:
        sender: how hcom calls the device that wrote the event.
        own: how hcom calls this device.
        is_own_name: whether a name is this device's in our group.
        in_full: this hcom tells agents of one name on several devices apart.
        reset_us: events from before this are dropped by hcom: when it was reset.
        bytes_max: of one event's data.
        called: how hcom calls another device of our group; None is as our group does.
    """

    sender: str
    own: str
    is_own_name: Callable[[str], bool]
    in_full: bool
    reset_us: int
    bytes_max: int
    called: Callable[[str], str] | None = None


class Inboxes(NamedTuple):
    """The agents of this device.

    Attributes:
        of_then: those that existed when the event was written.
        younger: the others.
    """

    of_then: frozenset[str]
    younger: frozenset[str]


class Delivery(NamedTuple):
    """What hcom is given; and agents of this device that were meant, but cannot have it."""

    ts: str
    kind: str
    instance: str
    data: bytes
    undelivered: tuple[str, ...]

    def numbered(self, number: int) -> HcomEvent:
        """As it stands in a snapshot."""
        return HcomEvent(number, self.ts, self.kind, self.instance, msgspec.Raw(self.data))


Replied = Callable[[EventId], dict[str, Any]]
"""The fields by which hcom says what a message answers; empty when it cannot."""


def deliver(name: EventId, event: Event, place: Place, inboxes: Inboxes, replied: Replied) -> Delivery:
    """Write an event as hcom's importer wants it.

    Args:
        name: its id.
        event: of one of KINDS, not redacted.
        place: see there.
        inboxes: the same.
        replied: see there.
    """
    data = _object(event.body)
    ours: dict[str, Any] = {"id": str(name)}
    instance = plain_name(event.agent or "")
    at_us = event.time if event.time is not None else millis(event.hlc) * 1_000
    if at_us < place.reset_us:
        ours["time"] = iso_us(at_us)
        at_us = place.reset_us
    if isinstance(data.get("from"), str) and ":" in data["from"]:
        data["from"] = instance
    undelivered: tuple[str, ...] = ()
    if event.kind == "message":
        undelivered = _address(data, ours, place, inboxes)
        _answer(data, ours, replied)
    return Delivery(iso_us(at_us), event.kind, instance, _fitted(data, ours, place.bytes_max), undelivered)


def result_row(event: Event, result: dict[str, Any], bytes_max: int) -> Delivery:
    """Write the answer to a remote request as hcom's own row of results."""
    data = _encode(result)
    if len(data) > bytes_max:
        data = _encode({**result, "ok": False, "result": {"error": "the answer is too large for hcom"}})
    return Delivery(iso_us(millis(event.hlc) * 1_000), "rpc_result", "_rpc", data, ())


def plain_name(agent: str) -> str:
    """An agent's name that hcom takes for one of the device's own, whatever a peer has written."""
    return agent.replace(":", ".").lstrip("_")


def _object(body: bytes) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = None
    if not isinstance(data, dict):
        return {"text": body.decode("utf-8", "replace")}
    for key in (MARK, "_relay", OURS):
        data.pop(key, None)
    return data


# --- whose inbox -------------------------------------------------------------------------------------------


def _address(data: dict[str, Any], ours: dict[str, Any], place: Place, inboxes: Inboxes) -> tuple[str, ...]:
    """Write whom a message is for; return the agents of this device that it cannot come to."""
    for field in ("mentions", "delivered_to"):
        if field in data:
            data[field] = [_addressed(one, place) for one in _names(data[field])]
    if data.get("scope") != "mentions":
        if inboxes.younger:
            ours["scope"] = data.get("scope", "broadcast")
            data["scope"] = "mentions"
            data["mentions"] = [f"{one}:{place.own}" for one in sorted(inboxes.of_then)]
        return ()
    mentions = data.get("mentions", [])
    suffix = ":" + place.own
    here = [one.removesuffix(suffix) for one in mentions if one.endswith(suffix)]
    missed = [one for one in here if one not in inboxes.of_then]
    kept = [one for one in mentions if one.removesuffix(suffix) not in inboxes.younger or not one.endswith(suffix)]
    if not place.in_full:
        kept = [one for one in kept if one.endswith(suffix) or one == _ALWAYS_LOCAL]
    if kept != mentions:
        ours["mentions"] = mentions
        data["mentions"] = kept
    return tuple(missed)


def _names(value: Any) -> list[str]:
    return [one for one in value[:_NAMES_MAX] if isinstance(one, str)] if isinstance(value, list) else []


def _addressed(name: str, place: Place) -> str:
    """An agent's name as the sender wrote it -> with the device, as this hcom calls it."""
    agent, colon, device = name.rpartition(":")
    if not colon:
        return name if name == _ALWAYS_LOCAL else f"{name}:{place.sender}"
    if place.is_own_name(device):
        return f"{agent}:{place.own}"
    return name if place.called is None else f"{agent}:{place.called(device)}"


# --- what it answers ---------------------------------------------------------------------------------------


def _answer(data: dict[str, Any], ours: dict[str, Any], replied: Replied) -> None:
    stated = data.pop("reply_to", None)
    data.pop("reply_to_local", None)
    if not isinstance(stated, str):
        return
    ours["reply_to"] = stated
    try:
        data.update(replied(parse_event_id(stated)))
    except UsageError:
        return


# --- how much ----------------------------------------------------------------------------------------------


def _fitted(data: dict[str, Any], ours: dict[str, Any], bytes_max: int) -> bytes:
    """JSON of at most so many bytes: a text that is too long is cut, and says so."""
    data[OURS] = ours
    whole = _encode(data)
    if len(whole) <= bytes_max:
        return whole
    text = data.get("text")
    if isinstance(text, str):
        ours["text_chars"] = len(text)
        note = f" ... [cut by hcom-replica: the whole text has {len(text)} characters; event {ours['id']}]"
        room = bytes_max - (len(_encode({**data, "text": note})) + 16)
        cut = _encode({**data, "text": _prefix(text, room) + note})
        if len(cut) <= bytes_max:
            return cut
    ours["too_large_bytes"] = len(whole)
    kept = {
        key: data[key] for key in ("from", "scope", "status", "context", "action") if isinstance(data.get(key), str)
    }
    small = _encode({**kept, "mentions": data.get("mentions", []), "text": "[too large for hcom]", OURS: ours})
    return small if len(small) <= bytes_max else _encode({OURS: {"id": ours["id"]}})


def _prefix(text: str, bytes_max: int) -> str:
    """The longest beginning whose JSON has at most so many bytes."""
    low, high = 0, min(len(text), max(0, bytes_max))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_encode(text[:middle])) - 2 <= bytes_max else (low, middle - 1)
    return text[:low]
