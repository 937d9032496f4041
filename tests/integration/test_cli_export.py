"""`export --format`: rows for other programs, each event once, whenever the export is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyarrow import parquet

from hcom_replica import Replica
from hcom_replica.api.event import Event
from hcom_replica.api.exports.driver import export_rows
from hcom_replica.api.exports.parquet import ParquetTarget
from hcom_replica.api.exports.place import Place
from hcom_replica.ids import EventId
from hcom_replica.testing.real.processes import Cli, clean_environment
from hcom_replica.wire.event import decode_event
from tests.harness.folders import device_folder, new_token
from tests.unit.core.builders import Device, draft

FORMATS = ("sqlite", "jsonl", "parquet")
EVENTS = 230
PAGE = 40

EXPORT = """
import os, signal, sys
from pathlib import Path
from hcom_replica import Replica
from hcom_replica.api.exports import driver, lines, parquet, sqlite

driver.PAGE_EVENTS = {page}
left = {count}

def deadly(call):
    def wrapped(*args, **kwargs):
        global left
        left -= 1
        if not left and {before}:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*args, **kwargs)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return wrapped

owner = {owner}
setattr(owner, {name!r}, deadly(getattr(owner, {name!r})))
with Replica.open({folder!r}) as replica:
    driver.export_rows(replica, Path({target!r}), {form!r})
"""


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    made = Cli(device_folder(tmp_path / "boxe", new_token("mqtt://127.0.0.1:1")).root)
    with Replica.open(made.folder) as replica:
        replica.append_many(
            ("note", {"n": number}, "luna", f"2026-01-0{1 + number % 3}T10:00:00Z") for number in range(EVENTS)
        )
    return made


def rows(form: str, path: Path) -> list[dict[str, Any]]:
    """What stands in a target, in order of arrival."""
    if form == "jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    if form == "sqlite":
        db = sqlite3.connect(path)
        db.row_factory = sqlite3.Row
        found = [dict(row) for row in db.execute("SELECT * FROM events ORDER BY arrival")]
        db.close()
        return found
    files = sorted(path.glob("day=*/device=*/*.parquet"))
    return sorted((row for file in files for row in parquet.ParquetFile(file).read().to_pylist()),
                  key=lambda row: row["arrival"])  # fmt: skip


def body(form: str, row: dict[str, Any]) -> Any:
    return row["data"] if form == "jsonl" else json.loads(row["data"])


def ids(cli: Cli) -> list[str]:
    return [line["id"] for line in cli.json_lines("events", "-n", "all", "--order", "arrival")]


@pytest.mark.parametrize("form", FORMATS)
def test_export_adds_only_what_is_new(cli: Cli, tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"
    assert cli.json("export", str(target), "--format", form)["events"] == EVENTS
    assert [row["id"] for row in rows(form, target)] == ids(cli)
    first = rows(form, target)[0]
    assert (first["kind"], first["agent"], first["name"]) == ("note", "luna", "luna:BOXE")
    assert (first["late"], first["redacted"] if form != "jsonl" else False) == (False, False)
    assert body(form, first) == {"n": 0}
    cli.ok("emit", "note", "--data", '"new"')
    done = cli.json("export", str(target), "--format", form)
    assert (done["events"], done["total_events"], done["redacted_since"]) == (1, EVENTS + 1, 0)
    assert [row["id"] for row in rows(form, target)] == ids(cli)
    assert body(form, rows(form, target)[-1]) == "new"
    assert cli.ok("export", str(target), "--format", form) == (
        f"exported 0 events into {target}, which has {EVENTS + 1} now\n"
    )


DEATHS = [
    ("sqlite", "sqlite.SqliteTarget", "take", True),
    ("sqlite", "sqlite.SqliteTarget", "take", False),
    ("sqlite", "sqlite", "encoded", True),
    ("sqlite", "sqlite", "_row", True),
    ("jsonl", "lines", "save", True),
    ("jsonl", "lines", "save", False),
    ("jsonl", "lines.os", "fsync", True),
    ("jsonl", "lines.os", "open", False),
    ("parquet", "parquet", "save", True),
    ("parquet", "parquet", "save", False),
    ("parquet", "parquet.Path", "replace", True),
    ("parquet", "parquet.Path", "replace", False),
    ("parquet", "parquet.ParquetTarget", "_write", True),
    ("parquet", "parquet.ParquetTarget", "_name", True),
]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize(("form", "owner", "name", "before"), DEATHS)
def test_export_that_is_killed_goes_on_with_each_event_once(
    cli: Cli, tmp_path: Path, form: str, owner: str, name: str, before: bool, count: int
) -> None:
    target = tmp_path / "out"
    text = EXPORT.format(
        page=PAGE,
        count=count,
        before=before,
        owner=owner,
        name=name,
        folder=str(cli.folder),
        target=str(target),
        form=form,
    )
    died = subprocess.run(
        [sys.executable, "-c", text], env=clean_environment(cli.folder), check=False, capture_output=True
    )
    assert died.returncode in (-signal.SIGKILL, 0), died.stderr.decode()
    assert died.returncode == -signal.SIGKILL or count > 1
    with Replica.open(cli.folder) as replica:
        export_rows(replica, target, form)
        expected = [str(event.id) for event in replica.events(order="arrival")]
    assert [row["id"] for row in rows(form, target)] == expected
    assert [body(form, row)["n"] for row in rows(form, target)] == list(range(EVENTS))
    assert not [path for path in tmp_path.rglob(".*") if "replica" not in str(path)]


def test_half_a_line_that_a_kill_left_is_cut_off(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    cli.ok("export", str(target), "--format", "jsonl")
    before = target.read_bytes()
    with target.open("ab") as file:
        file.write(b'{"id":"half')
    cli.ok("export", str(target), "--format", "jsonl")
    assert target.read_bytes() == before


@pytest.mark.parametrize("form", FORMATS)
def test_export_is_private(cli: Cli, tmp_path: Path, form: str) -> None:
    cli.ok("export", str(tmp_path / "out"), "--format", form)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("form", FORMATS)
def test_target_that_is_something_else_is_refused(cli: Cli, tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"
    if form == "parquet":
        target.mkdir()
        (target / "thesis.tex").write_text("mine")
    else:
        target.write_text("mine " * 50)
    done = cli.run("export", str(target), "--format", form)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error[usage]: ")
    kept = target / "thesis.tex" if form == "parquet" else target
    assert kept.read_text().startswith("mine")


def test_database_of_something_else_is_refused_and_forced(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out"
    db = sqlite3.connect(target)
    db.execute("CREATE TABLE thesis (text TEXT)")
    db.close()
    assert "a database of something else" in cli.run("export", str(target), "--format", "sqlite").stderr
    cli.ok("export", str(target), "--format", "sqlite", "--force")
    assert len(rows("sqlite", target)) == EVENTS


@pytest.mark.parametrize("form", FORMATS)
def test_export_from_another_log_into_the_same_target_is_refused(cli: Cli, tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"
    cli.ok("export", str(target), "--format", form)
    other = Cli(tmp_path / "other" / "replica")
    other.ok("emit", "note")
    done = other.run("export", str(target), "--format", form)
    assert done.returncode == 2
    assert "another device's log" in done.stderr
    done = cli.run("export", str(target), "--format", form, "--system")
    assert "without system events" in done.stderr
    assert [row["id"] for row in rows(form, target)] == ids(cli)
    assert cli.json("export", str(target), "--format", form, "--system", "--force")["events"] == EVENTS + 1
    assert rows(form, target)[0]["kind"] == "_hello"


@pytest.mark.parametrize("form", FORMATS)
def test_export_from_a_restored_log_is_refused(cli: Cli, tmp_path: Path, form: str) -> None:
    shutil.copytree(cli.folder, tmp_path / "old")
    cli.ok("emit", "note")
    target = tmp_path / "out"
    cli.ok("export", str(target), "--format", form)
    shutil.rmtree(cli.folder)
    (tmp_path / "old").rename(cli.folder)
    assert "it was restored since" in cli.run("export", str(target), "--format", form).stderr
    cli.ok("emit", "note", "--data", "1")
    assert "it was restored since" in cli.run("export", str(target), "--format", form).stderr


def test_lines_that_somebody_has_cut_are_refused(cli: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out"
    cli.ok("export", str(target), "--format", "jsonl")
    target.write_text("")
    assert "shorter than what was exported" in cli.run("export", str(target), "--format", "jsonl").stderr


def test_redaction_takes_the_body_out_of_a_database_and_is_told_elsewhere(cli: Cli, tmp_path: Path) -> None:
    name = cli.json("emit", "note", "--data", '"a secret of ours"')["id"]
    for form in FORMATS:
        cli.ok("export", str(tmp_path / form), "--format", form)
    cli.ok("redact", "--yes", name)
    for form in FORMATS:
        done = cli.run("export", str(tmp_path / form), "--format", form)
        assert done.returncode == 0
        assert ("1 events were redacted" in done.stderr) == (form != "sqlite")
        assert "redacted" not in cli.run("export", str(tmp_path / form), "--format", form).stderr
    (row,) = [row for row in rows("sqlite", tmp_path / "sqlite") if row["id"] == name]
    assert (row["data"], row["redacted"]) == (None, 1)
    assert b"a secret of ours" not in (tmp_path / "sqlite").read_bytes()


def test_times_and_bodies_beyond_the_ordinary_are_exported(cli: Cli, tmp_path: Path) -> None:
    with Replica.open(cli.folder) as replica:
        replica.append("far", 1, time=1 << 62)
        replica.append("old", 1, time=-(1 << 62))
        for form in FORMATS:
            assert export_rows(replica, tmp_path / form, form).events == EVENTS + 2
    for form in FORMATS:
        far, old = rows(form, tmp_path / form)[-2:]
        assert (far["kind"], far["time"], old["time"]) == ("far", None, None)


def test_export_into_a_format_that_is_none_exits_2(cli: Cli, tmp_path: Path) -> None:
    done = cli.run("export", str(tmp_path / "out"), "--format", "xlsx")
    assert done.returncode == 2
    assert "sqlite, jsonl, parquet" in done.stderr


def test_two_exports_into_one_target_at_once_do_not_mix(cli: Cli, tmp_path: Path) -> None:
    import fcntl

    for form in ("jsonl", "parquet"):
        target = tmp_path / form
        cli.ok("export", str(target), "--format", form)
        fd = os.open(target, os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert "another export writes" in cli.run("export", str(target), "--format", form).stderr
        os.close(fd)


def test_name_of_a_hostile_device_leads_out_of_no_folder(cli: Cli, tmp_path: Path) -> None:
    member = Device("../../own\x1b[2J")
    member.append(draft())
    events = [Event(EventId(member.own.id, 2), decode_event(member.run().records[1]), "../../own\x1b[2J", None)]
    target = ParquetTarget(tmp_path / "out", force=False)
    place = target.place(Place("g", "d", system=False))
    target.take(events, place)
    target.close()
    (file,) = (tmp_path / "out").rglob("*.parquet")
    assert file.parent.name == "device=..%2F..%2Fown%1B%5B2J"
    query = f"SELECT device FROM read_parquet('{tmp_path}/out/*/*/*.parquet', hive_partitioning = true)"
    assert duckdb.connect().execute(query).fetchall() == [("../../own\x1b[2J",)]
