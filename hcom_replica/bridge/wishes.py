"""What is said in remote control: kinds of events, their bodies, and what a device lets others do (B7.1, B7.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from hcom_replica.core.effects import Trace
from hcom_replica.wire.event import Event, RedactedEvent

ACTIONS: Final = (
    "launch",
    "kill",
    "resume",
    "config_get",
    "config_set",
    "relay_off",
    "term_screen",
    "term_inject",
    "transcript",
    "events",
    "sub_create",
    "sub_list",
    "sub_unsub",
)
"""What hcom can be asked for from elsewhere."""

REQUEST: Final = "rpc_request"
ASK: Final = "rpc_ask"
YES: Final = "rpc_yes"
NO: Final = "rpc_no"
START: Final = "rpc_start"
ANSWER: Final = "rpc_answer"
KINDS: Final = frozenset((REQUEST, ASK, YES, NO, START, ANSWER))

ID_CHARS_MAX: Final = 64


class Wish(msgspec.Struct, omit_defaults=True):
    """The body of every event of remote control.

    Attributes:
        request: hcom's id of the request.
        target: device that it is for, or that it came from, 16 hex digits.
        action: one of ACTIONS.
        params: hcom's own.
        durable: it is wanted whether anybody waits or not.
        ok, result: of the answer.
    """

    request: str
    target: str = ""
    action: str = ""
    params: dict[str, Any] = {}
    durable: bool = False
    ok: bool = False
    result: Any = None


class Kept(msgspec.Struct):
    """What is kept of a request.

    Attributes:
        stage: "mine", or of one that is served here "queued" (a durable one), "asked", "started" or "done".
        device: who asks, or is asked.
        action: one of ACTIONS.
        params: hcom's own.
    """

    stage: str
    device: bytes
    action: str
    params: dict[str, Any]


class Rules(NamedTuple):
    """Where hcom is, and what is allowed.

    Attributes:
        key, relay_id: of the private group.
        allowed: "action", for every device, or "NAME:action" for one.
        tell: gives a message to hcom's worker.
        hears: whether that is connected.
        entropy: gives random bytes.
        trace: is given what is worth a line in the log.
    """

    key: bytes
    relay_id: str
    allowed: tuple[str, ...]
    tell: Callable[[str, bytes], None]
    hears: Callable[[], bool]
    entropy: Callable[[int], bytes]
    trace: Callable[[Trace], None]


def read_wish(event: Event) -> Wish | None:
    """What an event of remote control says; None when it is none, or malformed."""
    if event.kind not in KINDS or isinstance(event, RedactedEvent):
        return None
    try:
        wish = msgspec.json.decode(event.body, type=Wish)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return wish if 0 < len(wish.request) <= ID_CHARS_MAX else None
