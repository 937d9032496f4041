from __future__ import annotations

from typing import Any

import pytest

from hcom_replica.api.where import compile_where
from hcom_replica.errors import UsageError

SCOPE: dict[str, Any] = {
    "id": "00:1", "origin": "00", "device": "BOXE", "seq": 1, "hlc": 5, "order": "0", "time": None, "kind": "status",
    "agent": "luna", "name": "luna:BOXE",
    "data": {"status": "blocked", "n": 3, "list": [1, {"x": "y"}], "a b": True, "none": None},
}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        'data.status == "blocked"',
        "data.status == 'blocked' and kind != 'life'",
        "not (data.n > 3) and data.n >= 3",
        "1 < data.n < 4",
        "data.n == 3.0",
        'kind in ["status", "life"]',
        'kind not in ("message",)',
        '"bloc" in data.status',
        '"status" in data',
        "data.list[1].x == 'y'",
        "data.list[-1]['x'] == 'y'",
        'data["a b"]',
        'data["a b"] == true',
        "data.none == null",
        "data.absent.deeper == null",
        "data.absent is None",
        "data.n > -1",
        'agent == "luna" or undefined_is_not_reached_by_names == 1'.replace("undefined_is_not_reached_by_names", "seq"),
        " kind ",
    ],
)
def test_where_that_holds_is_true(text: str) -> None:
    assert compile_where(text)(SCOPE) is True


@pytest.mark.parametrize(
    "text",
    [
        'data.status == "done"',
        "data.status > 3",
        "data.absent > 3",
        "3 in data.n",
        "data in data.list[0]",
        "data.list[9]",
        "data.list['0']",
        "data['n']['m']",
        "data.none",
        "time != null",
        "[1] in data",
    ],
)
def test_where_that_does_not_hold_or_cannot_be_compared_is_false(text: str) -> None:
    assert compile_where(text)(SCOPE) is False


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('data.status = "x"', "compare with =="),
        ("data.status ==", "write like"),
        ("", "write like"),
        ("blocked == data.status", "data.blocked"),
        ("__import__('os')", "write like"),
        ("data.status.upper() == 'X'", "write like"),
        ("(lambda: 1)", "write like"),
        ("[x for x in data]", "write like"),
        ("data.n + 1 == 4", "write like"),
        ("9 ** 9 ** 9 > 1", "write like"),
        ("f'{data}'", "write like"),
        ("b'x' == kind", "write like"),
        ("... == kind", "write like"),
        ("(kind := 1)", "write like"),
        ("data[0:1]", "write like"),
        ("~data.n", "write like"),
        ("not " * 900 + "kind", ""),
        ("(" * 500 + ")" * 500, ""),
        ("kind\0", "write like"),
        ("k" * 5000, ""),
    ],
)
def test_where_beyond_its_language_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_where(text)
    assert hint in caught.value.hint
    assert "--where" in caught.value.message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('data.status = "x"', "at character 13 ('= \"x\"')"),
        ("kind ==", "at its end"),
        ('"ü" == foo', "at character 8 ('foo')"),
        ('kind == "a" and (\n "ü" == foo)', "at character 27 ('foo)')"),
        ("data.n == f(2)", "at character 11 ('f(2)')"),
    ],
)
def test_where_that_is_refused_says_the_place(text: str, place: str) -> None:
    with pytest.raises(UsageError) as caught:
        compile_where(text)
    assert place in caught.value.message
