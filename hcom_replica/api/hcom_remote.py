"""Asking the hcom of another device for something: while somebody waits, or durably (hcom-bridge-v1 section 7)."""

from __future__ import annotations

import time
from typing import Any, Final
from uuid import uuid4

import msgspec

from hcom_replica.api.appending import wall_ms
from hcom_replica.api.body import from_object
from hcom_replica.api.control import wake
from hcom_replica.api.replica import Replica
from hcom_replica.bridge.wishes import ACTIONS, ANSWER, REQUEST, Wish, read_wish
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.messages import RemoteAnswer
from hcom_replica.errors import UsageError
from hcom_replica.folder.paths import Folder
from hcom_replica.wire.event import Draft, decode_event

_LOOK_S: Final = 0.2
_PAGE: Final = 1_000


class RemoteReport(msgspec.Struct, frozen=True):
    """What came of a wish.

    Attributes:
        device: who was asked.
        action: for what.
        request: id of a durable wish, in all its events; null of one that was waited for.
        answered: an answer came.
        ok: it was done.
        result: as hcom says it.
    """

    device: str
    action: str
    request: str | None
    answered: bool
    ok: bool
    result: Any


def ask_hcom(
    folder: Folder, device: str, action: str, params: dict[str, Any], *, durable: bool, timeout_s: float
) -> RemoteReport:
    """Ask the hcom of another device for something.

    Args:
        folder: the data folder.
        device: its name.
        action: one of ACTIONS.
        params: hcom's own.
        durable: it is done whenever the device comes by; else only while this call waits.
        timeout_s: how long to wait for the answer.

    Raises:
        UsageError: there is no such device or action.
        BridgeError: not durable, and no bridge runs here.
        DaemonError: not durable, and no daemon runs.
    """
    if action not in ACTIONS:
        raise UsageError(f"hcom does nothing of the name {action}", hint="one of " + ", ".join(ACTIONS))
    with Replica.in_folder(folder) as replica:
        target = replica.names.find(device)
        if target == replica.names.own:
            raise UsageError(f"{device} is this device", hint="ask its hcom itself")
        if durable:
            before = replica.log.last_arrival()
            wish = Wish(str(uuid4()), target.hex(), action, params, durable=True)
            replica.log.append([Draft(REQUEST, None, None, from_object(msgspec.to_builtins(wish)))], wall_ms())
            wake(folder)
            said = _answer(replica, wish, before, timeout_s)
            found = RemoteAnswer() if said is None else RemoteAnswer(answered=True, ok=said.ok, result=said.result)
            return RemoteReport(device, action, wish.request, found.answered, found.ok, found.result)
    told = {"device": target.hex(), "action": action, "params": params, "timeout_ms": int(timeout_s * 1_000)}
    found = DaemonClient(folder.root).request("remote", RemoteAnswer, timeout_s=None, **told)
    return RemoteReport(device, action, None, found.answered, found.ok, found.result)


def _answer(replica: Replica, asked: Wish, after: int, timeout_s: float) -> Wish | None:
    """The answer to a durable wish by the device that was asked (B7.5), once it is in the log; None when time is up."""
    deadline = time.monotonic() + timeout_s
    while True:
        for arrived in (page := replica.log.arrivals(after, _PAGE)):
            event = decode_event(arrived.event.record)
            wish = read_wish(event) if event.kind == ANSWER else None
            if wish is None or wish.request != asked.request:
                continue
            author = replica.names.device_of(arrived.event.origin)
            if author is not None and author.hex() == asked.target:
                return wish
        after = page[-1].number if page else after
        if not page:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return None
            time.sleep(min(_LOOK_S, left_s))
