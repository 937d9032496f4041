"""One line about an event, for people: what hcom's own kinds say, and anything else as its JSON.

Owns the wording. A pure function of kind and body, so that the line is the same on every device; what came from peers
stands in it as it is: whoever prints it escapes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from hcom_replica.api.event import Event

SUMMARY_CHARS_MAX: Final = 200
_GONE: Final = "(redacted)"
_COMMANDS: Final = ("Bash", "run_shell_command", "shell", "local_shell")
_Body = dict[str, Any]


def summary(event: Event, chars_max: int = SUMMARY_CHARS_MAX) -> str:
    """Say in one line what an event tells; longer ones end with an ellipsis.

    Args:
        event: any.
        chars_max: of the line, 1 or more.
    """
    return shortened(" ".join(_told(event).split()), chars_max)


def shortened(text: str, chars_max: int) -> str:
    """A text of at most so many characters; one that was longer ends with an ellipsis."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def _told(event: Event) -> str:
    if event.redacted:
        return _GONE
    tell, data = _KINDS.get(event.kind), event.data
    told = tell(data) if tell is not None and isinstance(data, dict) else ""
    if told and event.kind == "message" and event.agent is None:
        told = f"{_text(data, 'from')} {told}".lstrip()
    return told or event.body.decode("utf-8", "backslashreplace")


def _message(data: _Body) -> str:
    text = _text(data, "text")
    if not text:
        return ""
    marks = [_text(data, "intent"), f"#{_text(data, 'thread')}" if _text(data, "thread") else ""]
    marked = " ".join(mark for mark in marks if mark)
    to = _texts(data, "mentions") if _text(data, "scope") != "broadcast" else []
    return f"→ {', '.join(to) or 'all'}{f' [{marked}]' if marked else ''}: {text}"


def _status(data: _Body) -> str:
    status, context, detail = _text(data, "status"), _text(data, "context"), _text(data, "detail")
    doing = _doing(context, detail)
    return ": ".join(part for part in (status, doing) if part)


def _doing(context: str, detail: str) -> str:
    what, colon, name = context.partition(":")
    if what == "tool" and name in _COMMANDS and detail:
        return f"$ {detail}"
    if what == "tool" and colon:
        return f"{name} {detail}".strip()
    if what == "deliver" and colon:
        return f"reads mail of {name}"
    return " ".join(part for part in (context, detail) if part and part != "ready")


def _life(data: _Body) -> str:
    action = _text(data, "action").replace("_", " ")
    by, reason, device = _text(data, "by"), _text(data, "reason"), _text(data, "short_id")
    tool = _text(data, "tool")
    parts = [
        action,
        device,
        f"by {by}" if by else "",
        f"({reason})" if reason else "",
        f"with {tool}" if tool else "",
    ]
    return " ".join(part for part in parts if part) if action else ""


def _bundle(data: _Body) -> str:
    title, description = _text(data, "title"), _text(data, "description")
    refs = data.get("refs")
    lists = {name: refs.get(name) for name in ("events", "files", "transcript")} if isinstance(refs, dict) else {}
    counted = [f"{len(items)} {name}" for name, items in lists.items() if isinstance(items, list) and items]
    told = " - ".join(part for part in (title, description) if part)
    return f"{told} ({', '.join(counted)})" if told and counted else told


def _agent(data: _Body) -> str:
    if data.get("gone") is True:
        return "is no more"
    tool, directory = _text(data, "tool"), _text(data, "directory")
    told = " ".join(part for part in (tool, f"in {directory}" if directory else "") if part)
    return f"is {told}" if told else ""


def _remote(step: str) -> Callable[[_Body], str]:
    """A step of remote control, with `{}` for the action."""
    return lambda data: step.format(_text(data, "action")) if _text(data, "action") else ""


def _answer(data: _Body) -> str:
    action = _text(data, "action")
    return f"{action}: {'done' if data.get('ok') is True else 'not done'}" if action else ""


def _state(data: _Body) -> str:
    key, what = _text(data, "key"), _text(data, "op")
    value = next((data[name] for name in ("value", "item", "by") if name in data), None)
    return f"{what} {key} {msgspec.json.encode(value).decode()}" if key and what else ""


def _roster(data: _Body) -> str:
    words = (("enter", "lets in"), ("close", "closes"), ("late", "gives a late place to"))
    counted = [
        (told, len(data[name])) for name, told in words if isinstance(data.get(name), list | dict) and data[name]
    ]
    return ", ".join(f"{told} {count} origin{'s' if count != 1 else ''}" for told, count in counted)


def _hello(data: _Body) -> str:
    name, reason = _text(data, "name"), _text(data, "reason")
    return f"{name} begins to write ({reason})" if name and reason else ""


def _named(text: str) -> Callable[[_Body], str]:
    return lambda data: text.format(_text(data, "name") or _text(data, "device")) if data else ""


def _redact(data: _Body) -> str:
    seq = data.get("seq")
    return f"redacts {_text(data, 'origin')}:{seq}" if isinstance(seq, int) else ""


def _text(data: _Body, key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _texts(data: _Body, key: str) -> list[str]:
    value = data.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


_KINDS: Final[dict[str, Callable[[_Body], str]]] = {
    "message": _message,
    "status": _status,
    "life": _life,
    "bundle": _bundle,
    "agent": _agent,
    "rpc_request": _remote("asks for {}"),
    "rpc_ask": _remote("asks whether {} is still wanted"),
    "rpc_yes": _remote("still wants {}"),
    "rpc_no": _remote("wants {} no more"),
    "rpc_start": _remote("begins {}"),
    "rpc_answer": _answer,
    "state": _state,
    "_roster": _roster,
    "_epoch": lambda _: "begins a new key epoch",
    "_adopt": lambda _: "takes over the key epoch",
    "_admit": lambda _: "admits members",
    "_hello": _hello,
    "_name": _named("is called {} from here on"),
    "_retire": _named("retires device {}"),
    "_return": _named("device {} is back"),
    "_replace": _named("asks for the place of device {}"),
    "_redact": _redact,
}
