"""`audit` in real processes: a sound log, a damaged file, two devices that hold the same and two that do not."""

from __future__ import annotations

import json
import random
import re
from math import log2
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api.forks import forks
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli
from hcom_replica.testing.real.waiting import wait_until
from tests.harness.backup import Backup
from tests.harness.group import WAIT_S, Group, Laptop, Row

EVENTS = 600


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    cli = Cli(tmp_path / "replica")
    with Replica.open(cli.folder) as replica:
        replica.append_many(("note", {"n": n, "text": "x" * 100}, "luna") for n in range(EVENTS))
    return cli


def test_sound_log_is_audited_with_nothing_found(cli: Cli) -> None:
    report = cli.json("audit", "verify")
    (row,) = report["origins"]
    assert (report["sound"], report["findings"]) == (True, [])
    assert (row["events"], row["seq"], row["missing_events"]) == (EVENTS + 1, EVENTS + 1, 0)
    assert row["commits"] == report["commits"] > 0
    assert "nothing found" in cli.ok("audit")


def test_damaged_file_is_audited_without_a_crash_and_the_damage_located(cli: Cli) -> None:
    data = cli.folder / "log" / "data.mdb"
    text = data.read_bytes()
    at = text.index(b'"n":345,')
    data.write_bytes(text[:at] + b'"n":346,' + text[at + 8 :])
    done = cli.run("audit", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    (found,) = report["findings"]
    assert found["what"] == "event"
    assert found["first"] <= 347 <= found["last"], "seq 1 is the hello"
    assert len(cli.json_lines("events", "-n", "all")) == EVENTS, "the rest is still served"


def test_file_in_ruins_is_a_finding_and_no_traceback(cli: Cli) -> None:
    data = cli.folder / "log" / "data.mdb"
    text = bytearray(data.read_bytes())
    rng = random.Random(4)
    for _ in range(400):
        text[rng.randrange(8192, len(text))] = rng.randrange(256)
    data.write_bytes(text)
    done = cli.run("audit")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "finding" in done.stdout


def test_audit_of_no_replica_and_of_nobody_are_refused(tmp_path: Path, cli: Cli) -> None:
    nowhere = Cli(tmp_path / "nowhere").run("audit")
    assert (nowhere.returncode, "error[config]" in nowhere.stderr) == (2, True)
    assert cli.run("audit", "--device", "XXXX").returncode == 2
    assert cli.run("audit", "diff", "XXXX").returncode == 2


@pytest.mark.slow
def test_two_devices_prove_that_they_hold_the_same(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit('{"n": 1}')
        b.emit('{"n": 2}')
        a.wait_for_events(2)
        wait_until(lambda: a.cli.run("audit", "diff", "BOXB").returncode == 0, WAIT_S, "equal logs")
        wait_until(lambda: a.cli.run("audit").returncode == 0, WAIT_S, "both admitted")
        wait_until(lambda: b.cli.run("audit", "diff", "BOXA").returncode == 0, WAIT_S, "equal logs")
        report = b.cli.json("audit", "diff", "BOXA", "--timeout", "20")
        assert {row["relation"] for row in report["origins"]} == {"equal"}
        b.stop()
        a.emit('{"n": 3}')
        done = a.cli.run("audit", "diff", "BOXB", "--timeout", "1")
        assert done.returncode == 1
        assert "here more" in done.stdout


def write(laptop: Laptop, text: str, events: int) -> None:
    """Import so many events."""
    path = laptop.folder.parent / f"{laptop.name}-{text}.jsonl"
    noise = random.Random(text)
    rows = ({"kind": "k", "agent": "luna", "data": {"n": n, "noise": noise.randbytes(30).hex()}} for n in range(events))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert laptop.write(path) == events


@pytest.mark.slow
def test_histories_that_differ_are_compared_and_the_first_difference_found_in_few_questions(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    """P4.9: a machine was put back as a whole, and wrote on; its mailbox is too small to show where they part"""
    events, small = 10_000, "[mailbox]\nslots = 4\n"
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA", small), group.add("BOXB", small)
        write(a, "both", 300)
        b.wait_for_events(300)
        a.kill()
        backup, origin = Backup(a, tmp_path / "backup"), str(a.status()["origin"])
        a.start()
        write(a, "first", events)
        b.wait_for_events(300 + events)
        a.kill()
        backup.restore(state=True, in_place=True)
        write(a, "second", events)
        own_broker.restart(forget=True)  # no mailbox and no live message brings the other history
        a.start()
        report: Row = {}

        def is_found() -> bool:
            report.update(json.loads(b.cli.run("audit", "diff", "BOXA", "--json", "--timeout", "20").stdout))
            return any(row["differs_at"] for row in report["origins"])

        wait_until(is_found, WAIT_S, lambda: f"a difference; {report}")
        (row,) = (row for row in report["origins"] if row["differs_at"])
        with Replica.open(b.folder, create=False) as replica:
            (fork,) = forks(replica)
        assert fork.proven
        assert (row["branch_of"] or row["origin"]) == origin == fork.kept.origin
        assert row["differs_at"] == fork.base + 1 > 300
        other = json.loads(a.cli.run("audit", "diff", "BOXB", "--json", "--timeout", "20").stdout)
        asked = [one["questions"] for one in (row, *other["origins"]) if one["questions"] is not None]
        assert asked, "who hears of it from the other has nothing to ask"
        assert max(asked) <= 2 * log2(events) + 3
        assert f"first difference: {origin}:{fork.base + 1}" in b.cli.run("audit", "diff", "BOXA").stdout


@pytest.mark.slow
def test_device_that_holds_less_is_compared_and_told_what_it_lacks(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        a.emit('"both"')
        b.wait_for_events(1)
        wait_until(lambda: a.cli.run("audit", "diff", "BOXB").returncode == 0, WAIT_S, "equal logs")
        b.stop()
        write(a, "more", 5)
        origin, last = a.events()[-1]["id"].split(":")
        done = a.cli.run("audit", "diff", "BOXB", "--timeout", "0.2")
        assert done.returncode == 1
        ((begins, ends),) = re.findall(rf"^BOXB lacks {origin}:(\d+)\.\.(\d+)$", done.stdout, re.MULTILINE)
        assert int(begins) <= int(last) - 4 < int(last) <= int(ends), "perhaps the word that BOXB was let in, too"
        assert "answered  no" in done.stdout
        assert "differ" not in done.stdout.replace("differs at", "")
