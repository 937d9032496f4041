"""`audit report`: what is checked, and how it is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api.auditreport import audit_page
from hcom_replica.api.filters import Query
from hcom_replica.store.kv import Table
from hcom_replica.testing.real.processes import Cli
from hcom_replica.wire.event import Draft
from tests.harness.histories import START_MS, carry, two_devices
from tests.unit.api.test_page import data_of


@pytest.fixture(scope="module")
def devices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders that hold the same, only to be read."""
    return two_devices(tmp_path_factory.mktemp("report"), events=120, minutes=480)


@pytest.fixture
def boxe(devices: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of a folder that may be spoiled."""
    return shutil.copytree(devices[0], tmp_path / "boxe")


def test_report_of_a_sound_log_says_so_with_what_came_late(devices: tuple[Path, Path], tmp_path: Path) -> None:
    cli, page = Cli(devices[0]), tmp_path / "page.html"
    assert cli.ok("audit", "report", "-o", str(page)) == f"wrote {page}: all is as it was written\n"
    data = data_of(page.read_bytes())
    report = data["report"]
    assert report["sound"] is True
    assert report["verdict"].startswith("242 events of 2 origins were checked: every hash and every signature.")
    origins, arrivals = report["tables"]
    assert [row[0] for row in origins["rows"]] == ["BOXE", "TUKA"]
    assert {row[-1] for row in origins["rows"]} == {"yes"}
    ((device, late, longest, times, away),) = arrivals["rows"]
    assert (device, times) == ("TUKA", "1")
    assert int(late) > 50
    assert longest.startswith("4 h")
    assert away.startswith("4 h")
    assert "_hello" in data["kinds"]


def test_report_shows_what_filters_choose_and_replaces_nothing_unasked(
    devices: tuple[Path, Path], tmp_path: Path
) -> None:
    cli, page = Cli(devices[0]), tmp_path / "page.html"
    assert cli.json("audit", "report", "-o", str(page), "--device", "TUKA", "--kind", "message")["findings"] == []
    data = data_of(page.read_bytes())
    assert (data["devices"], data["kinds"]) == (["TUKA"], ["message"])
    assert data["report"]["verdict"].startswith("242 events")
    assert "--force" in cli.run("audit", "report", "-o", str(page)).stderr


@pytest.mark.parametrize("table", [Table.LOG, Table.COMMITS])
def test_flipped_bit_is_found_with_its_origin_and_the_page_is_written(boxe: Path, tmp_path: Path, table: Table) -> None:
    with Replica.open(boxe) as replica:
        (state,) = [one for one in replica.log.origins() if one.name == "TUKA"]
        with replica.parts._kv.write() as txn:
            rows = [(key, value) for key, value in txn.scan(table) if state.id in (key[:8], key[8:])]
            key, value = rows[len(rows) // 2]
            txn.put(table, key, value[:-3] + bytes([value[-3] ^ 1]) + value[-2:])
    page = tmp_path / "page.html"
    done = Cli(boxe).run("audit", "report", "-o", str(page))
    assert done.returncode == 1
    assert f"Origin {state.id.hex()} does not verify: behind " in done.stdout
    report = data_of(page.read_bytes())["report"]
    assert report["sound"] is False
    assert [row[-1] == "yes" for row in report["tables"][0]["rows"]] == [True, False]


def test_log_whose_last_events_are_gone_is_found(boxe: Path) -> None:
    with Replica.open(boxe) as replica:
        (state,) = [one for one in replica.log.origins() if one.name == "TUKA"]
        with replica.parts._kv.write() as txn:
            keys = [key for key, _ in txn.scan(Table.INDEX) if key[:8] == state.id]
            txn.delete(Table.INDEX, keys[-1])
        assert any(state.id.hex() in finding for finding in audit_page(replica, Query()).findings)


def test_fork_and_a_clock_ahead_are_findings(tmp_path: Path) -> None:
    boxe, tuka = two_devices(tmp_path, events=10, minutes=10)
    shutil.copytree(tuka, tmp_path / "copy")
    with Replica.open(boxe) as one, Replica.open(tuka) as two, Replica.open(tmp_path / "copy") as three:
        now_ms = START_MS + 3_600_000
        for replica, count in ((two, 2), (three, 3)):
            replica.log._continuity = None
            replica.log.append([json_draft(number + count) for number in range(count)], now_ms)
        carry(two, one, now_ms - 600_000)
        carry(three, one, now_ms)
        findings = audit_page(one, Query()).findings
        report = data_of(audit_page(one, Query()).html)["report"]
    assert any("branches" in finding for finding in findings)
    assert any("TUKA" in finding and "minute" in finding for finding in findings)
    assert report["tables"][-1]["title"] == "Forks"
    assert report["tables"][-1]["rows"][0][-1] == "yes"


def json_draft(number: int) -> Draft:
    return Draft("k", "luna", None, json.dumps(number).encode())
