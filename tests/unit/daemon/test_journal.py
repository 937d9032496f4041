"""Lines of the daemon's log."""

from __future__ import annotations

from hcom_replica.core.effects import Trace
from hcom_replica.daemon.journal import line


def test_line_shows_plain_values_bare_and_others_escaped() -> None:
    trace = Trace("link up", (("mqtt", 5), ("up", True), ("name", "BOXE-1"), ("none", None)))
    assert line(trace) == "link up mqtt=5 up=true name=BOXE-1 none=null"


def test_line_with_text_from_others_stays_one_line_of_ascii() -> None:
    shown = line(Trace("x", (("reason", "a\nb \x1b[31m\u202e"),)))
    assert shown == 'x reason="a\\nb \\u001b[31m\\u202e"'
