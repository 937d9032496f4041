"""`emit` and `send`: appending one event."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

from hcom_replica.cli.options import Arg, Opt
from hcom_replica.cli.print import json_line, line, note
from hcom_replica.cli.session import Session
from hcom_replica.errors import UsageError
from hcom_replica.ids import EventId, parse_event_id
from hcom_replica.limits import MIB

if TYPE_CHECKING:
    from hcom_replica.store.log import Log

_STDIN_BYTES_MAX = 64 * MIB
"""Far over what fits in an event, even spelled with escapes; a pipe without end is not read for ever."""


def emit(
    session: Session,
    kind: Annotated[str, Arg("KIND", help="what it is, like status; not beginning with _")],
    agent: Annotated[str | None, Opt("--agent", metavar="AGENT", help="who did it on this device")] = None,
    data: Annotated[str | None, Opt("--data", metavar="JSON|-", help="its body; - reads it from stdin")] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Append one event and print its id. Needs no daemon and no network; it is on disk when this returns."""
    from hcom_replica.api.body import compact

    text = b"null" if data is None else read_stdin() if data == "-" else os.fsencode(data)
    return _append(session, kind, agent, compact(text), json=json)


def send(
    session: Session,
    targets: Annotated[
        list[str], Arg("[@TARGET]...", help="@luna, @luna:BOXE (on a device), @tag; none: everybody")
    ] = (),  # type: ignore[assignment]
    sender: Annotated[str | None, Opt("--from", metavar="AGENT", help="who sends it")] = None,
    thread: Annotated[str | None, Opt("--thread", metavar="T", help="the thread it belongs to")] = None,
    reply_to: Annotated[str | None, Opt("--reply-to", metavar="ID", help="id of the event it answers")] = None,
    text: Annotated[
        str | None, Opt("--text", metavar="TEXT|-", help="the text; usually written last, behind --")
    ] = None,
    json: Annotated[bool, Opt("--json", help="print JSON")] = False,
) -> int | None:
    """Append a message: send @luna -- the text. `-` as text reads it from stdin."""
    from hcom_replica.api.body import from_object

    message = _message(targets, sender, thread, reply_to, _text(text))
    return _append(session, "message", sender, from_object(message), json=json)


def _append(session: Session, kind: str, agent: str | None, body: bytes, *, json: bool) -> int:
    from hcom_replica.api.appending import append_drafts, draft
    from hcom_replica.api.opening import open_parts

    made = draft(kind, body, agent)
    with open_parts(session.folder) as parts:
        name = append_drafts(parts, [made])[0]
        tell_resumed(parts.log)
    show_id(name, json=json)
    return 0


def tell_resumed(log: Log) -> None:
    """Say so when a command has found that its folder is an old one, or a copy."""
    if log.resumed:
        from hcom_replica.api.incarnations import own_story

        note(own_story(log)[0])


def show_id(name: EventId, *, json: bool) -> None:
    """Print the id of an event that was appended."""
    if json:
        json_line({"id": str(name), "origin": name.origin.hex(), "seq": name.seq})
    else:
        line(str(name))


def read_stdin(bytes_max: int = _STDIN_BYTES_MAX, what: str = "an event") -> bytes:
    """Read standard input to its end.

    Args:
        bytes_max: far more than `what` may have.
        what: is read.

    Raises:
        UsageError: there is more.
    """
    data = sys.stdin.buffer.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise UsageError(f"stdin has more bytes than {what}", hint="for many events: hcom-replica import -")
    return data


def _text(text: str | None) -> str:
    if text is None:
        raise UsageError("the text is missing", hint="write it last: hcom-replica send @luna -- the text")
    if text != "-":
        return text
    try:
        return read_stdin().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError("the text is not UTF-8") from None


def _message(
    targets: list[str], sender: str | None, thread: str | None, reply_to: str | None, text: str
) -> dict[str, Any]:
    """The body of a message, in hcom's words."""
    mentions = [_mention(target) for target in targets]
    message: dict[str, Any] = {"from": sender, "scope": "mentions" if mentions else "broadcast", "text": text}
    if mentions:
        message["mentions"] = mentions
    if thread is not None:
        message["thread"] = thread
    if reply_to is not None:
        message["reply_to"] = str(parse_event_id(reply_to))
    return message


def _mention(target: str) -> str:
    name = target.removeprefix("@")
    if not target.startswith("@") or not name:
        raise UsageError(
            f"not a target: {target!r}", hint="a target begins with @; the text goes behind --: send @luna -- the text"
        )
    return name
