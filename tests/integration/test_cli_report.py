"""`audit report`: what is checked, and how it is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api.auditreport import audit_page
from hcom_replica.api.filters import Query
from hcom_replica.folder.paths import Folder
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
    done = cli.run("audit", "report", "-o", str(page))
    data = data_of(page.read_bytes())
    report = data["report"]
    tables = {table["title"]: table["rows"] for table in report["tables"]}
    findings = {row[0] for row in tables.get("Findings", [])}
    assert findings <= {"unknown key"}, "nobody was online to let TUKA in"
    assert done.returncode == (1 if findings else 0)
    assert report["sound"] is not bool(findings)
    assert report["verdict"].startswith("242 events and ")
    assert [row[0] for row in tables["Origins"]] == ["BOXE", "TUKA"]
    ((device, late, longest, times, away),) = tables["As BOXE received it"]
    assert (device, times) == ("TUKA", "1")
    assert int(late) > 50
    assert longest.startswith("4 h")
    assert away.startswith("4 h")
    assert "_hello" in data["kinds"]


def test_report_shows_what_filters_choose_and_replaces_nothing_unasked(
    devices: tuple[Path, Path], tmp_path: Path
) -> None:
    cli, page = Cli(devices[0]), tmp_path / "page.html"
    done = cli.run("audit", "report", "-o", str(page), "--device", "TUKA", "--kind", "message", "--json")
    said = json.loads(done.stdout)
    assert (said["file"], said["events"]) == (str(page), 242)
    data = data_of(page.read_bytes())
    assert (data["devices"], data["kinds"]) == (["TUKA"], ["message"])
    assert "--force" in cli.run("audit", "report", "-o", str(page)).stderr
    assert "needs a name" in cli.run("audit", "report").stderr


@pytest.mark.parametrize("table", [Table.LOG, Table.COMMITS])
def test_flipped_bit_is_told_with_its_place_and_the_page_is_written(boxe: Path, tmp_path: Path, table: Table) -> None:
    with Replica.open(boxe) as replica:
        (state,) = [one for one in replica.log.origins() if one.name == "TUKA"]
        with replica.parts._kv.write() as txn:
            rows = [(key, value) for key, value in txn.scan(table) if state.id in (key[:8], key[8:])]
            key, value = rows[len(rows) // 2]
            txn.put(table, key, value[:-3] + bytes([value[-3] ^ 1]) + value[-2:])
    page = tmp_path / "page.html"
    done = Cli(boxe).run("audit", "report", "-o", str(page))
    assert done.returncode == 1
    assert done.stdout.startswith(f"wrote {page}: ")
    report = data_of(page.read_bytes())["report"]
    assert report["sound"] is False
    findings = report["tables"][0]
    assert findings["title"] == "Findings"
    assert any(row[0] in ("event", "commit") and row[2].startswith(state.id.hex()) for row in findings["rows"])


def test_log_that_cannot_be_read_is_a_page_without_events(boxe: Path, tmp_path: Path) -> None:
    data = boxe / "log" / "data.mdb"
    with data.open("r+b") as file:
        file.seek(2 * 4096)
        file.write(b"\xff" * (data.stat().st_size - 2 * 4096))
    page = tmp_path / "page.html"
    assert Cli(boxe).run("audit", "report", "-o", str(page)).returncode == 1
    found = data_of(page.read_bytes())
    assert (found["lane"], found["report"]["sound"]) == ([], False)
    assert found["report"]["tables"][0]["rows"][0][0] == "structure"


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
    page = audit_page(Folder(boxe), Query())
    tables = {table["title"]: table["rows"] for table in data_of(page.html)["report"]["tables"]}
    assert {"fork", "drift"} <= {row[0] for row in tables["Findings"]}
    assert tables["Forks"][0][-1] == "yes"


def json_draft(number: int) -> Draft:
    return Draft("k", "luna", None, json.dumps(number).encode())
