from __future__ import annotations

from typing import Annotated, Any

import pytest

from hcom_replica.cli.options import Arg, Opt, params_of
from hcom_replica.cli.plain import parse


def command(
    session: object,
    kind: Annotated[str, Arg("KIND", help="")],
    rest: Annotated[list[str], Arg("[MORE]...", help="")] = (),  # type: ignore[assignment]
    data: Annotated[str | None, Opt("--data", "-d", help="")] = None,
    count: Annotated[int, Opt("-n", "--count", help="")] = 20,
    tag: Annotated[list[str], Opt("--tag", help="")] = (),  # type: ignore[assignment]
    json: Annotated[bool, Opt("--json", help="")] = False,
) -> int | None:
    """Stand for any command."""


PARAMS = params_of(command)
DEFAULTS: dict[str, Any] = {"rest": [], "data": None, "count": 20, "tag": [], "json": False}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        (["k"], {"kind": "k"}),
        (["k", "a", "b"], {"kind": "k", "rest": ["a", "b"]}),
        (["--json", "k", "--data", "-"], {"kind": "k", "json": True, "data": "-"}),
        (["k", "-d", "x", "--data=-5"], {"kind": "k", "data": "-5"}),
        (["k", "--data="], {"kind": "k", "data": ""}),
        (["-n", "3", "k", "--tag", "a", "--tag=b"], {"kind": "k", "count": 3, "tag": ["a", "b"]}),
        (["k", "--", "--json", "-x"], {"kind": "k", "rest": ["--json", "-x"]}),
        (["-"], {"kind": "-"}),
        ([""], {"kind": ""}),
    ],
)
def test_parse_of_a_plain_call_gives_values(line: list[str], values: dict[str, Any]) -> None:
    assert parse(PARAMS, line) == {**DEFAULTS, **values}


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["k", "--help"],
        ["k", "--unknown"],
        ["k", "--data"],
        ["k", "--data", "--json"],
        ["k", "--data", "-5"],
        ["k", "--json=true"],
        ["k", "-n", "x"],
        ["k", "-n5"],
        ["k", "-n=5"],
        ["k", "-jx"],
    ],
)
def test_parse_of_anything_else_leaves_it_to_typer(line: list[str]) -> None:
    assert parse(PARAMS, line) is None


def test_parse_with_a_word_too_many_leaves_it_to_typer() -> None:
    assert parse([param for param in PARAMS if param.name != "rest"], ["k", "more"]) is None


def test_parse_twice_shares_no_lists() -> None:
    parse(PARAMS, ["k", "--tag", "a"])
    assert parse(PARAMS, ["k"]) == {**DEFAULTS, "kind": "k"}
