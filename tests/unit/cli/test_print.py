from __future__ import annotations

import pytest

from hcom_replica.cli.print import escape, facts, failure, paint, table, tint


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü ☃ 😀", "plain ü ☃ 😀"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u200bb\u2028", "a\\u200bb\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_escape_leaves_text_and_disarms_controls(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_table_is_aligned_escaped_and_without_colour_off_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    table(("device", "events", ""), [["BOXE", 1234567, "this"], ["TU\x1bKA", None, ""]])
    assert capfd.readouterr().out == ("device       events\nBOXE      1,234,567  this\nTU\\x1bKA          -\n")


def test_table_without_rows_prints_its_header(capfd: pytest.CaptureFixture[str]) -> None:
    table(("device", "events"), [])
    assert capfd.readouterr().out == "device  events\n"


def test_facts_are_one_a_row(capfd: pytest.CaptureFixture[str]) -> None:
    facts([("enabled", True), ("broker", None), ("a longer label", "x\ny")])
    assert capfd.readouterr().out == "enabled         yes\nbroker          -\na longer label  x\\ny\n"


def test_failure_goes_to_stderr_with_kind_and_hint(capfd: pytest.CaptureFixture[str]) -> None:
    failure("usage", "bad \x1b thing", "do this")
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == "error[usage]: bad \\x1b thing\nhint: do this\n"


class Terminal:
    def isatty(self) -> bool:
        return True


def test_paint_on_a_terminal_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red", Terminal()) == "x"


def test_tint_gives_each_number_a_colour_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tint("x", 1) == "x"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr("sys.stdout", Terminal())
    assert tint("x", 0).startswith("\x1b[38;5;")
    assert tint("x", 0) != tint("x", 1)
    assert tint("x", 0) == tint("x", 12)
