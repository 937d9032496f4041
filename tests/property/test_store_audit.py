"""Any bit of a log that is changed on the disk is found by an audit, if it changes anything that the tables hold."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.core.hello import NAME, Rename, system_draft
from hcom_replica.errors import StoreError
from hcom_replica.store.audit import LogAudit
from hcom_replica.store.auditor import MODULE, walk
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.schema import Stretch, pack_stretch, u64, unpack_stretch
from tests.unit.store.devices import GROUP, NOW, Device, send

FLIPS = 150
ORIGINS = 4
CHECKED = (Table.LOG, Table.INDEX, Table.COMMITS, Table.ORIGINS, Table.SYSTEM)
"""Every byte of these counts. A time of receipt, a cursor, what a peer once said: nothing tells what it should be."""


def grow(device: Device) -> Device:
    """A log with three origins, a fork, redactions, events that came late, and a cursor."""
    nova, tuka = Device("NOVA"), Device("TUKA")
    ids = device.emit(*(f"b{n}" for n in range(700)))
    nova.emit(*(f"n{n}" * 20 for n in range(40)), now_ms=NOW - 5_000)
    twin = nova.clone(7)
    nova.emit("here", "and here", now_ms=NOW + 1)
    twin.emit("there", now_ms=NOW + 2)
    tuka.emit(*(f"t{n}" for n in range(300)), now_ms=NOW - 9_000)
    device.redact(ids[3])
    for source in (nova, twin, tuka):
        send(source, device)
    device.emit("last")
    device.log.set_cursor("view", 12)
    return device


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "as-it-was").mkdir()
    kv = LmdbKv(tmp_path / "as-it-was")
    grow(Device("BOXE", kv))
    kv.close()
    return tmp_path / "as-it-was"


def audited(device: Device) -> list[str]:
    with device.kv.read() as txn:
        return [found.what for found in LogAudit(txn, GROUP).findings()]


def test_log_as_it_should_be_has_no_findings_and_all_is_walked() -> None:
    device = grow(Device("BOXE"))
    with device.kv.read() as txn:
        audit = LogAudit(txn, GROUP)
        assert list(audit.findings()) == []
    rows = audit.origins
    assert sum(row.events for row in rows) == device.log.last_arrival()
    assert sum(row.late_arrivals for row in rows) == 342
    assert all(row.commits for row in rows)


def changed(table: Table, pick: int, flip: Callable[[bytes, bytes], tuple[bytes, bytes]]) -> list[str]:
    """Findings after one row was changed."""
    device = grow(Device("BOXE"))
    with device.kv.write() as txn:
        rows = list(txn.scan(table))
        key, value = rows[pick % len(rows)]
        txn.delete(table, key)
        txn.put(table, *flip(key, value))
    return audited(device)


@pytest.mark.parametrize("table", [*CHECKED, Table.REDACTIONS])
def test_row_with_a_changed_bit_is_found(table: Table) -> None:
    """T2.3, T2.4, T2.6"""
    rng = random.Random(table.encode())
    for _ in range(12):
        pick, at, bit = rng.randrange(1 << 30), rng.random(), 1 << rng.randrange(8)

        def flip(key: bytes, value: bytes, at: float = at, bit: int = bit) -> tuple[bytes, bytes]:
            row = bytearray(key + value)
            row[int(at * len(row))] ^= bit
            return bytes(row[: len(key)]), bytes(row[len(key) :])

        assert changed(table, pick, flip), f"row {pick} at {at:.2f}"


@pytest.mark.parametrize("table", [Table.LOG, Table.INDEX, Table.ARRIVALS, Table.COMMITS, Table.SYSTEM, Table.ORIGINS])
def test_row_that_is_gone_is_found(table: Table) -> None:
    """T2.2, T2.3, T2.4"""
    for pick in (0, 3):
        device = grow(Device("BOXE"))
        with device.kv.write() as txn:
            key = list(txn.scan(table))[pick][0]
            txn.delete(table, key)
        assert audited(device), f"{table} {key.hex()}"


def test_event_whose_body_was_changed_is_located_between_two_commits() -> None:
    device = grow(Device("BOXE"))
    row = next(row for row in device.log.events() if b"b655" in row.record)
    with device.kv.write() as txn:
        txn.put(Table.LOG, row.key, u64(row.seq) + row.record.replace(b"b655", b"b656"))
        commits = [
            int.from_bytes(key[8:], "big") for key, _ in txn.scan(Table.COMMITS, row.origin, row.origin + b"\xff")
        ]
    with device.kv.read() as txn:
        (found,) = LogAudit(txn, GROUP).findings()
    assert (found.what, found.origin) == ("event", row.origin.hex())
    assert found.first <= row.seq <= found.last
    assert found.first - 1 in (0, *commits)
    assert found.last in commits


def stretches(device: Device) -> list[Stretch]:
    with device.kv.read() as txn:
        return [unpack_stretch(*row) for row in txn.scan(Table.ARRIVALS)]


def with_arrivals(device: Device, *rows: Stretch) -> list[str]:
    """Findings where these are the arrivals."""
    with device.kv.write() as txn:
        for key in [key for key, _ in txn.scan(Table.ARRIVALS)]:
            txn.delete(Table.ARRIVALS, key)
        txn.put_many(Table.ARRIVALS, [pack_stretch(row) for row in rows])
    return audited(device)


def test_arrivals_that_name_an_event_twice_or_are_marked_wrongly_are_found() -> None:
    """T2.2"""
    plain = Device("BOXE")
    plain.emit("a", "b")
    (one,) = stretches(plain)
    assert with_arrivals(plain, one._replace(late=True)) == ["arrival"]
    forked = grow(Device("BOXE"))
    first, second, *others = stretches(forked)
    assert with_arrivals(forked, first, second._replace(late=not second.late), *others) == [], (
        "with a fork, moved events may keep another mark than they would have now"
    )
    assert "arrival" in with_arrivals(forked, first, second._replace(first=(1 << 64) - 1), *others)
    again = second._replace(origin=first.origin, first=first.first)
    assert "arrival" in with_arrivals(forked, first, again, *others)


def test_arrivals_of_which_any_bit_is_changed_are_found() -> None:
    """T2.2: but for the mark, where there is a fork, and the time of receipt"""
    for bit in range(0, 8 * 28, 5):  # number, origin, first, length
        device = grow(Device("BOXE"))
        rows = stretches(device)
        pick = bit % len(rows)
        key, value = pack_stretch(rows[pick])
        row = bytearray(key + value)
        row[bit // 8] ^= 1 << bit % 8
        with device.kv.write() as txn:
            txn.delete(Table.ARRIVALS, key)
            txn.put(Table.ARRIVALS, bytes(row[:8]), bytes(row[8:]))
        assert audited(device), f"bit {bit} of {rows[pick]}"


def test_name_stated_before_a_fork_of_a_fork_is_the_same_whichever_branch_came_first() -> None:
    """P4.6: what lies before the second fork may be held by a branch of the first"""
    for seed in range(6):
        first = Device("BOXE")
        first.emit("a")
        first.log.append([system_draft(NAME, Rename("LUNA"))], NOW)
        second = first.clone(10 + seed)
        first.emit(f"here {seed}")
        second.emit(f"there {seed}")
        third = second.clone(30 + seed)
        second.emit(f"second {seed}")
        third.emit(f"third {seed}")
        third.log.append([system_draft(NAME, Rename("ROSE"))], NOW)
        seen = []
        for sources in permutations((first, second, third)):
            reader = Device("NOVA")
            for source in (*sources, *sources, *sources):
                send(source, reader)
            seen.append(sorted((state.id, state.base, state.seq, state.name) for state in reader.log.origins()))
            assert audited(reader) == []
        assert all(one == seen[0] for one in seen)


def test_any_bit_of_the_file_that_matters_is_found(folder: Path, tmp_path: Path) -> None:
    """The walk is done by a child: a broken page can take the reader with it."""
    data = (folder / "data.mdb").read_bytes()
    expected = dump(folder)
    rng, broken = random.Random(1), tmp_path / "broken"
    broken.mkdir()
    mattered = 0
    for number in range(FLIPS):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 8))):
            damaged[rng.randrange(8192, len(data))] ^= 1 << rng.randrange(8)
        (broken / "data.mdb").write_bytes(damaged)
        (broken / "lock.mdb").unlink(missing_ok=True)
        same, found = in_child(lambda: dump(broken)) == expected, in_child(lambda: findings(broken))
        mattered += not same
        assert same or found != [], f"flip {number} is not found"
    assert mattered > FLIPS / 4


def dump(folder: Path) -> Any:
    """A digest of all that counts."""
    kv = LmdbKv(folder, readonly=True)
    digest = blake2b()
    try:
        with kv.read() as txn:
            for table in CHECKED:
                for key, value in txn.scan(table):
                    digest.update(len(key).to_bytes(2, "big") + key + len(value).to_bytes(4, "big") + value)
    except StoreError as error:
        return error.message
    finally:
        kv.close()
    return digest.hexdigest()


def findings(folder: Path) -> Any:
    said: list[Any] = []
    walk(str(folder), GROUP, said.append)
    return [found.what for kind, found in (item for item in said if item[0] == "finding") if kind]


def in_child(look: Callable[[], Any]) -> Any:
    """What `look` returns, from a child process; how the child died, if it did."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(2)
        try:
            os.write(writing, json.dumps(look()).encode()[:60_000])
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(text) if text else f"died: {status}"


def test_auditor_says_what_it_walks(folder: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", MODULE, str(folder), GROUP.hex()], capture_output=True, text=True, check=True, timeout=60
    )
    said = [json.loads(line) for line in run.stdout.splitlines()]
    assert said[-1] == ["done"]
    assert [item for item in said if item[0] == "finding"] == []
    assert len([item for item in said if item[0] == "origin"]) == ORIGINS
