"""`bridge remote`: asking the hcom of another device for something."""

from __future__ import annotations

import json as json_
from typing import Annotated, Any

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import escape, json_line, line, warn
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError


def remote(
    session: Session,
    device: Annotated[str, Arg("DEVICE", help="name of the device whose hcom is asked")],
    action: Annotated[str, Arg("ACTION", help="launch, kill, resume, config_get, config_set, term_screen ...")],
    params: Annotated[
        list[str], Arg("[NAME=VALUE]...", help="what the action needs, as hcom calls it: target=rose")
    ] = (),  # type: ignore[assignment]
    durable: Annotated[
        bool, Opt("--durable", help="have it done whenever the device comes by, whether anybody waits or not")
    ] = False,
    timeout: Annotated[
        float | None, Opt("--timeout", metavar="S", help="how long to wait for the answer: 30, or 0 with --durable")
    ] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Have the hcom of another device do something. Who asks, what for, and what came of it is in the log."""
    from hcom_replica.api.hcom_remote import ask_hcom

    wait_s = timeout if timeout is not None else 0.0 if durable else 30.0
    given = dict(_param(text) for text in params)
    said = ask_hcom(session.folder, device, action, given, durable=durable, timeout_s=wait_s)
    if json:
        json_line(said)
    elif said.answered:
        (line if said.ok else warn)(escape(json_.dumps(said.result, ensure_ascii=False)))
    elif durable:
        line(f"asked; {escape(device)} does it when it comes by (hcom-replica events --grep {said.request})")
    else:
        warn(f"{device} did not answer: it is away, or its hcom is (--durable: have it done later)")
    return int(not said.ok and (said.answered or not durable))


def _param(text: str) -> tuple[str, Any]:
    """A parameter; its value is JSON where it can be read as such, else text."""
    name, given, value = text.partition("=")
    if not given or not name:
        raise UsageError(f"not a parameter: {text!r}", hint="write NAME=VALUE, as in target=rose")
    try:
        return name, json_.loads(value)
    except (ValueError, RecursionError):
        return name, value
