"""One line about an event, for people: what hcom's own kinds say, and anything else as its JSON.

Owns the wording. A pure function of kind and body, so that the line is the same on every device; what came from peers
stands in it as it is: whoever prints it escapes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

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
    "_hello": _hello,
    "_name": _named("is called {} from here on"),
    "_retire": _named("retires device {}"),
    "_return": _named("device {} is back"),
    "_replace": _named("asks for the place of device {}"),
    "_redact": _redact,
}
