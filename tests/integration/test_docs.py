"""What the documentation tells people to type works, and prints what it says."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from hcom_replica import Replica
from hcom_replica.testing.real.brokers import HOST, PrivateBroker, free_port, mosquitto_path
from hcom_replica.testing.real.processes import Cli, clean_environment
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.console import Command, Console, commands_of, shows

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "specs").rglob("*.md")])


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_readme_typed_on_two_laptops_prints_what_it_shows(tmp_path: Path, own_broker: PrivateBroker) -> None:
    commands = commands_of(page("README.md"))
    assert {command.prompt for command in commands} == {"boxe", "tuka"}
    with Console(tmp_path / "c", {"mqtts://broker.example.org": own_broker.url}) as console:
        for command in commands:
            console.enter(command)
        wait_for_one_sum(console, [command for command in commands if "md5sum" in command.text])


@pytest.mark.slow
def test_tutorial_typed_on_one_machine_works(tmp_path: Path) -> None:
    commands = commands_of(page("docs/tutorial/two-laptops.md"))
    install, *rest = commands
    assert install == Command("", "pip install .", ())
    port = str(free_port())
    with Console(tmp_path / "c", {"1883": port, "/tmp": str(tmp_path / "c")}) as console:
        leaving = next(number for number, command in enumerate(rest) if "relay forget" in command.text)
        for command in rest[:leaving]:
            console.enter(command)
        wait_for_one_sum(console, [command for command in rest if "md5sum" in command.text])
        for command in rest[leaving:]:
            console.enter(command)
        assert '{"n":2}' in console.outputs["tuka events"][-1], "it lay in the mailbox on the broker"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "move-events-from-a-file",
        "follow-from-a-script",
        "take-back-a-secret",
        "carry-events-by-hand",
        "replay-the-history",
        "prove-the-history",
        "share-state-between-scripts",
    ],
)
def test_howto_typed_in_a_new_folder_prints_what_it_shows(tmp_path: Path, name: str) -> None:
    commands = commands_of(page(f"docs/howto/{name}.md"))
    assert commands
    with Console(tmp_path / "c", {}) as console:
        for command in commands:
            console.enter(command)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replay-the-history", "query-with-sql", "carry-events-by-hand"])
def test_python_of_the_howto_runs(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Replica.open(tmp_path / "replica") as replica:
        replica.append("message", {"text": "hello"}, agent="luna")
    (code,) = blocks(page(f"docs/howto/{name}.md"), "python", {"~/.hcom-replica": str(tmp_path / "replica")})
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(tmp_path / "replica"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


@pytest.mark.slow
def test_queries_of_the_howto_give_what_it_shows(tmp_path: Path) -> None:
    text = page("docs/howto/query-with-sql.md")
    with Console(tmp_path / "c", {}) as console:
        for command in commands_of(text):
            console.enter(command)
    shown = blocks(text, "text", {})
    (query,) = blocks(text, "sqlite", {})
    db = sqlite3.connect(tmp_path / "c" / "history.sqlite")
    assert "".join("|".join(row) + "\n" for row in db.execute(query)) == shown[0]
    db.close()
    (query,) = blocks(text, "sql", {"'history": f"'{tmp_path / 'c' / 'history'}"})
    assert [line.split() for line in str(duckdb.sql(query)).splitlines() if line] == [
        line.split() for line in shown[1].splitlines()
    ]


@pytest.mark.slow
@pytest.mark.mosquitto
def test_broker_set_up_as_the_howto_says_takes_a_group(tmp_path: Path) -> None:
    program, passwords = mosquitto_path(), shutil.which("mosquitto_passwd")
    if program is None or passwords is None:
        pytest.skip("mosquitto is not installed")
    port, folder = free_port(), tmp_path / "etc"
    replaced = {"/etc/mosquitto": str(folder), "DNS:broker.example.org": f"IP:{HOST}", "chgrp mosquitto": "true"}
    replaced |= {"broker.example.org:8883": f"{HOST}:{port}", "listener 8883": f"listener {port} {HOST}"}
    certificates, user, group, moving = blocks(page("docs/howto/run-your-own-broker.md"), "sh", replaced)
    (settings,) = blocks(page("docs/howto/run-your-own-broker.md"), "conf", replaced)
    (folder / "certs").mkdir(parents=True)
    subprocess.run(["sh", "-ec", certificates + user], check=True, capture_output=True)
    (folder / "replica.conf").write_text(f"user root\n{settings}")
    options = re.findall(r"relay new (.+)", group)[0].replace("ca.pem", str(folder / "certs" / "ca.pem")).split()
    (tmp_path / "broker.password").write_text("a long password\n")
    broker = subprocess.Popen([program, "-c", folder / "replica.conf"], stderr=subprocess.DEVNULL)
    try:
        with Cli(tmp_path / "boxe") as cli:
            wait_until(lambda: cli.run("relay", "new", *options).returncode == 0, 30, "a group on the broker")
            assert cli.json("flush")["safe_in"] == "broker"
            assert cli.ok("doctor")
            there = re.findall(r"relay move (.+)", moving)[0].split()
            assert cli.json("relay", "move", *there)["moved"] is False, "it is there already"
    finally:
        broker.terminate()
        broker.wait()


def wait_for_one_sum(console: Console, commands: list[Command]) -> None:
    """Look again, as a reader would, until both laptops print the same sum."""
    assert len(commands) == 2

    def same() -> bool:
        sums = []
        for command in commands:
            console.enter(command)
            sums.append(console.outputs[command.text][-1])
        return sums[0] == sums[1]

    wait_until(same, 30, "the same bytes on both laptops")


def blocks(markdown: str, language: str, replaced: dict[str, str]) -> list[str]:
    """The fenced blocks of one language, with texts replaced."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", markdown, re.DOTALL | re.MULTILINE)
    for written, here in replaced.items():
        found = [block.replace(written, here) for block in found]
    return found


# --- pages as such ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def test_make_targets_that_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE))
    named = {name for path in PAGES for name in re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)", path.read_text())}
    unknown = {one or other for one, other in named} - targets
    assert unknown == set()


# --- the runner ---------------------------------------------------------------------------------------------------


def test_commands_are_found_with_prompt_and_output() -> None:
    text = "x\n```console\nmake demo\n```\n\n```console\n$ a b\nboxe$ c  # why\none\n\ntwo\n```\n```sh\n$ no\n```\n"
    assert commands_of(text) == [Command("", "a b", ()), Command("boxe", "c  # why", ("one", "", "two"))]


@pytest.mark.parametrize(
    ("output", "same"),
    [
        ("first\nat 2026-01-02T03:04:05.678Z   by 0123456789abcdef, pid 12\n", True),
        ("at 2026-01-02T03:04:05.678Z by 0123456789abcdef, pid 12", True),
        ("at 2026-01-02T03:04:05.678Z by 0123456789abcdef", False),
        ("at noon by 0123456789abcdef, pid 12", False),
        ("", False),
    ],
)
def test_output_shown_may_differ_in_times_ids_and_columns_only(output: str, same: bool) -> None:
    assert shows(output, ("at 2030-12-31T00:00:00.000Z  by fedcba9876543210, pid 7", "")) is same


def test_output_shown_must_come_in_order() -> None:
    assert shows("a\nb\nc\n", ("a", "c"))
    assert not shows("a\nb\nc\n", ("c", "a"))
