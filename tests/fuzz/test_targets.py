"""Every decoder under hostile bytes: a few thousand of each target here; `make fuzz` for millions."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcom_replica.errors import ProtocolError
from tests.fuzz import loop
from tests.fuzz.loop import chunks, run_chunk
from tests.fuzz.target import Target, stateless
from tests.fuzz.targets import TARGETS

INPUTS = 600
PACKAGE = Path(__file__).parents[2] / "hcom_replica"
ALL = pytest.mark.parametrize("one", TARGETS, ids=lambda one: one.name)


@ALL
def test_target_under_mutated_bytes_raises_nothing_else_and_takes_little_memory(one: Target) -> None:
    """P5.4: sizes before allocating; what fails is dropped."""
    outcome = run_chunk(2, one.name, 0, max(50, INPUTS * one.weight // 10))
    assert outcome.failures == []


@ALL
def test_target_under_bytes_of_any_kind_raises_nothing_else(one: Target) -> None:
    run = one.make()

    @settings(max_examples=20)
    @given(st.one_of(st.binary(max_size=200), st.integers(0, 1 << 32).map(lambda seed: one.draw(Random(seed)))))
    def check(data: bytes) -> None:
        with suppress(*one.errors):
            run(data)

    check()


@ALL
def test_target_takes_one_of_its_seeds_at_least(one: Target) -> None:
    """A target that refuses whatever it is given shows nothing."""
    run, taken = one.make(), 0
    for seed in one.seeds:
        with suppress(*one.errors):
            run(seed)
            taken += 1
    assert taken or one.name == "bomb"


def test_targets_name_every_module_that_decodes() -> None:
    """A decoder that is added gets a target, or a reason to have none here."""
    decoding = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if decodes(path)}
    assert decoding == {*TARGETED, *NOT_TARGETED}


TARGETED = {
    "api/body.py",
    "core/crdt/agents.py",
    "core/crdt/shared.py",
    "bridge/delivery.py",
    "bridge/rows.py",
    "bridge/legacy/asking.py",
    "bridge/controls.py",
    "bridge/snapshot.py",
    "core/hello.py",
    "core/origin.py",
    "daemon/messages.py",
    "folder/config.py",
    "folder/config_edit.py",
    "api/importing.py",
    "transport/retained.py",
    "wire/batch.py",
    "wire/codec.py",
    "wire/epoch.py",
    "wire/event.py",
    "wire/frame.py",
    "wire/redaction.py",
    "wire/messages.py",
    "wire/bundle.py",
    "wire/token.py",
}
NOT_TARGETED = {
    "api/exports/place.py": "reads what an export has left in its own target",
    "bench/large.py": "reads what the program itself has printed",
    "bench/corpus.py": "reads a file that its user names, or what it has made itself",
    "bench/parts.py": "reads what it has written itself",
    "cli/bench.py": "reads a file that its user names; tests/integration/test_bench",
    "testing/real/hcom.py": "reads what hcom itself has printed",
    "testing/real/processes.py": "reads what the program itself has printed",
    "testing/scenario.py": "reads files of this repository",
    "api/auditing.py": "reads what its own child says",
    "api/views.py": "reads JSON that a fold has taken for such",
    "cli/views.py": "reads JSON of its own command line; what is none is text",
    "store/rosters.py": "reads a row that it has written, under a sum; tests/property/test_core_kept",
    "store/views.py": "reads rows that it has written; what cannot be read is folded anew",
    "bridge/agents.py": "reads what the bridge has put on the shelf",
    "bridge/database.py": "reads JSON that sqlite has checked",
    "bridge/foreigners.py": "reads structures of msgspec and the shelf; tests/unit/bridge/test_legacy",
    "bridge/legacy/lanes.py": "reads structures of msgspec and the shelf; tests/unit/bridge/test_legacy",
    "bridge/legacy/peers.py": "reads what the bridge has put on the shelf",
    "bridge/intervals.py": "reads what the bridge has put on the shelf",
    "bridge/numbering.py": "reads what the bridge has put on the shelf",
    "bridge/handover.py": "reads what the bridge has put on the shelf",
    "bridge/source.py": "reads what the bridge has put on the shelf",
    "bridge/wishes.py": "reads structures of msgspec; tests/unit/bridge/test_remote",
    "bridge/remote.py": "reads what it has put on the shelf; tests/unit/bridge/test_remote",
    "bridge/roster.py": "reads JSON of peers field by field; tests/unit/bridge/test_gateway",
    "bridge/filed.py": "reads a file of the user's own; tests/unit/bridge/test_settings and test_legacy",
    "bridge/relay_config.py": "reads a file of the user's own; tests/unit/bridge/test_settings",
}


def decodes(path: Path) -> bool:
    """Whether a module calls a decoder of msgspec, zstd, TOML or base64, or makes one."""
    names = {"decode", "loads", "Decoder", "decoder", "b64decode", "convert"}
    owners = {"msgspec", "json", "msgpack", "tomllib", "base64", "decoder"}
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id == "decoder":
            return True
        if not isinstance(function, ast.Attribute):
            continue
        if function.attr == "decompress" or (function.attr in names and owner(function) in owners):
            return True
    return False


def owner(function: ast.Attribute) -> str:
    inner = function.value
    return inner.id if isinstance(inner, ast.Name) else inner.attr if isinstance(inner, ast.Attribute) else ""


# --- the loop itself ----------------------------------------------------------------------------------------------


def trial(monkeypatch: pytest.MonkeyPatch, run: Callable[[bytes], None]) -> list[str]:
    one = replace(TARGETS[0], name="trial", make=stateless(run), peak_bytes=1 << 16)
    monkeypatch.setattr(loop, "target", lambda _name: one)
    return run_chunk(1, "trial", 0, 300).failures


def test_loop_finds_an_error_that_is_none_of_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(given: bytes) -> None:
        if len(given) % 2:
            raise KeyError("a bug")

    failures = trial(monkeypatch, broken)
    assert "KeyError: 'a bug'" in failures[0]
    assert "--seed 1 --target 'trial' --chunk 0" in failures[0]


def test_loop_finds_memory_that_an_input_does_not_explain(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(_: bytes) -> None:
        bytes(4 << 20)

    assert "bytes of memory for" in trial(monkeypatch, greedy)[0]


def test_loop_takes_the_targets_own_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_: bytes) -> None:
        raise ProtocolError("format")

    assert trial(monkeypatch, refusing) == []


def test_inputs_are_the_same_for_equal_seeds() -> None:
    for one in TARGETS:
        drawn = [[one.draw(rng) for _ in range(20)] for rng in (Random("1"), Random("1"))]
        assert drawn[0] == drawn[1]


def test_chunks_share_inputs_over_all_targets() -> None:
    plan = chunks(100_000)
    assert {name for name, _, _ in plan} == {one.name for one in TARGETS}
    assert 100_000 <= sum(inputs for _, _, inputs in plan) < 100_000 + len(TARGETS)
