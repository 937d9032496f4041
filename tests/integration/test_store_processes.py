"""Real processes on one folder: killed, concurrent, interrupted, forked."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import lmdb
import pytest

from hcom_replica.core.append import Writer
from hcom_replica.errors import StoreError
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.log import Log
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.event import Draft, decode_event, is_system
from hcom_replica.wire.signing import DeviceKey
from tests.unit.store.devices import GROUP, NOW, Device, check_log

ROOT = Path(__file__).resolve().parents[2]
APPENDER = """
import sys
from hcom_replica.core.append import Writer
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.log import Log
from hcom_replica.wire.event import Draft
from hcom_replica.wire.signing import DeviceKey
folder, who, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = Log(LmdbKv(folder), b"group-of-16bytes", Writer(DeviceKey(b"k" * 32), b"group-of-16bytes", "BOXE"))
for n in range(most):
    names = log.append([Draft("note", who, None, b"%d" % n) for _ in range(1 + n % 7)], 1_800_000_000_000)
    for name in names:
        print(name, who, n, flush=True)
"""
HOLDER = """
import sys
from hcom_replica.store.lmdb_kv import LmdbKv
kv = LmdbKv(sys.argv[1])
with kv.write():
    print("holding", flush=True)
    sys.stdin.read()
"""
LOCKER = """
import sys
from hcom_replica.store.writer_lock import WriterLock
WriterLock(sys.argv[1]).acquire()
print("holding", flush=True)
sys.stdin.read()
"""
COUNTER = """
import sys
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv
kv = LmdbKv(sys.argv[1])
for number in range(1, int(sys.argv[2]) + 1):
    with kv.write() as txn:
        txn.put(Table.META, b"count", number.to_bytes(8, "big"))
"""
WAITER = """
import sys
from hcom_replica.store.lmdb_kv import LmdbKv
kv = LmdbKv(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
try:
    print("waiting", flush=True)
    with kv.write():
        print("got it", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
OPENER = """
import sys
from hcom_replica.store.lmdb_kv import LmdbKv
try:
    print("waiting", flush=True)
    LmdbKv(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@contextmanager
def python(program: str, *args: object, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process of the package under test, ended with the block."""
    command = [sys.executable, "-c", program, *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    """The next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def go(process: subprocess.Popen[bytes]) -> None:
    """Let `WAITER` begin to wait."""
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert line_of(process) == b"waiting\n"


def wait_until_asleep(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process that has said "waiting" waits."""
    state = ["ps", "-o", "stat=", "-p", str(process.pid)]
    wait_until(lambda: subprocess.check_output(state).strip().startswith(b"S"), 60, "asleep")


@contextmanager
def opened(folder: Path, *, readonly: bool = False) -> Iterator[Device]:
    """The device that `APPENDER` writes as, on its folder, for checking."""
    device = Device.__new__(Device)
    device.kv = LmdbKv(folder, readonly=readonly)
    device.log = Log(device.kv, GROUP, Writer(DeviceKey(b"k" * 32), GROUP, "BOXE"))
    try:
        yield device
    finally:
        device.kv.close()


def acknowledged(output: Path) -> dict[str, tuple[str, bytes]]:
    """What whole lines of output say was appended: id -> (agent, body)."""
    text = output.read_text() if output.exists() else ""
    lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    return {name: (who, number.encode()) for name, who, number in lines}


def held(device: Device) -> dict[str, tuple[str | None, bytes]]:
    """What the log holds, system events left out."""
    rows = [(stored, decode_event(stored.record)) for stored in device.log.events()]
    return {
        f"{stored.origin.hex()}:{stored.seq}": (event.agent, event.body)
        for stored, event in rows
        if not is_system(event.kind)
    }


def test_append_killed_at_random_moments_keeps_every_acknowledged_event(tmp_path: Path) -> None:
    """S1, S5, T5.1"""
    moments = random.Random(7)
    seen: dict[str, tuple[str, bytes]] = {}
    for turn in range(12):
        output = tmp_path / f"out{turn}"
        size = moments.randrange(1, 20_000)
        with output.open("wb") as sink, python(APPENDER, tmp_path / "log", f"p{turn}", 1 << 20, stdout=sink.fileno()):
            wait_until(partial(_has_size, output, size), 60, "output")
        fresh = acknowledged(output)
        assert fresh
        assert not fresh.keys() & seen.keys()
        seen |= fresh
        with opened(tmp_path / "log") as device:
            found = held(device)
            assert seen.items() <= found.items()
            check_log(device)


def _has_size(file: Path, size: int) -> bool:
    return file.stat().st_size >= size


def test_append_from_several_processes_at_once_gives_each_seq_once(tmp_path: Path) -> None:
    """S5, T5.3"""
    outputs = [tmp_path / f"out{n}" for n in range(4)]
    with ExitStack() as stack:
        processes = []
        for n, output in enumerate(outputs):
            sink = stack.enter_context(output.open("wb"))
            processes.append(stack.enter_context(python(APPENDER, tmp_path / "log", f"p{n}", 60, stdout=sink.fileno())))
        assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    given = [acknowledged(output) for output in outputs]
    names = [name for one in given for name in one]
    assert len(names) == len(set(names)) == 4 * sum(1 + n % 7 for n in range(60))
    with opened(tmp_path / "log") as device:
        assert held(device) == {name: value for one in given for name, value in one.items()}
        assert len(device.log.origins()) == 1
        check_log(device)


def test_wait_for_another_writer_ends_with_an_interrupt(tmp_path: Path) -> None:
    with python(WAITER, tmp_path / "log") as waiter:
        assert line_of(waiter) == b"open\n"
        with python(HOLDER, tmp_path / "log") as holder:
            assert line_of(holder) == b"holding\n"
            go(waiter)
            wait_until_asleep(waiter)
            waiter.send_signal(signal.SIGINT)
            assert line_of(waiter) == b"interrupted\n"
            assert holder.poll() is None


def test_open_that_is_to_make_a_table_waits_for_another_writer_and_can_be_interrupted(tmp_path: Path) -> None:
    """T2.7"""
    with python(HOLDER, tmp_path / "log") as holder:
        assert line_of(holder) == b"holding\n"
        holder.kill()
        holder.wait()
    with lmdb.open(str(tmp_path / "log"), max_dbs=20, lib_version=0) as older, older.begin(write=True) as txn:
        txn.drop(older.open_db(Table.BRIDGE.encode(), txn=txn))
    with python(LOCKER, tmp_path / "log") as holder:
        assert line_of(holder) == b"holding\n"
        with python(OPENER, tmp_path / "log") as opener:
            assert line_of(opener) == b"waiting\n"
            wait_until_asleep(opener)
            opener.send_signal(signal.SIGINT)
            assert line_of(opener) == b"interrupted\n"


@pytest.mark.parametrize("readonly", [True, False])
def test_open_and_read_wait_for_nobody_while_another_process_writes(tmp_path: Path, *, readonly: bool) -> None:
    with opened(tmp_path / "log") as device:
        device.log.append([Draft("note")], NOW)
    with python(HOLDER, tmp_path / "log") as holder:
        assert line_of(holder) == b"holding\n"
        with opened(tmp_path / "log", readonly=readonly) as device:
            assert len(held(device)) == 1
        assert holder.poll() is None


def test_log_opened_beside_a_writer_is_written_to_once_that_has_ended(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as device:
        device.log.append([Draft("note")], NOW)
    with python(HOLDER, tmp_path / "log") as holder:
        assert line_of(holder) == b"holding\n"
        beside = ExitStack()
        device = beside.enter_context(opened(tmp_path / "log"))
        assert len(held(device)) == 1
    with beside:
        device.log.append([Draft("note")], NOW)
        assert len(held(device)) == 2
        check_log(device)


def test_log_opened_for_reading_only_refuses_an_append(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as device:
        device.log.append([Draft("note")], NOW)
    with opened(tmp_path / "log", readonly=True) as device, pytest.raises(StoreError, match="reading only"):
        device.log.append([Draft("note")], NOW)


def test_writer_killed_while_it_holds_the_lock_lets_the_next_one_in(tmp_path: Path) -> None:
    with python(WAITER, tmp_path / "log") as waiter:
        assert line_of(waiter) == b"open\n"
        with python(HOLDER, tmp_path / "log") as holder:
            assert line_of(holder) == b"holding\n"
            go(waiter)
        assert line_of(waiter) == b"got it\n"


def test_kv_used_after_a_fork_refuses(tmp_path: Path) -> None:
    """T1.3"""
    kv = LmdbKv(tmp_path / "log")
    child = os.fork()
    if child == 0:
        try:
            kv.read()
        except StoreError as error:
            os._exit(7 if "fork" in error.message else 8)
        os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with kv.write() as txn:
        txn.put(Table.META, b"x", b"y")
    kv.close()


def test_last_txn_shows_a_commit_of_another_process(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as device:
        before = device.log.last_txn()
        with python(APPENDER, tmp_path / "log", "p", 1) as process:
            assert process.wait(60) == 0
        assert device.log.last_txn() > before
        assert len(held(device)) == 1


def test_check_readers_clears_a_killed_reader(tmp_path: Path) -> None:
    """T5.7"""
    with opened(tmp_path / "log") as device:
        with python(HOLDER.replace("kv.write()", "kv.read()"), tmp_path / "log") as reader:
            assert line_of(reader) == b"holding\n"
        assert device.log.check_readers() == 1
        device.log.append([Draft("note")], NOW)


def test_last_txn_is_never_ahead_of_what_a_reader_sees(tmp_path: Path) -> None:
    kv = LmdbKv(tmp_path / "log")
    before = kv.last_txn()
    with python(COUNTER, tmp_path / "log", 300) as process:
        while process.poll() is None:
            seen = kv.last_txn()
            with kv.read() as txn:
                value = txn.get(Table.META, b"count")
            assert int.from_bytes(value or b"", "big") >= seen - before
        assert process.wait(60) == 0
    assert kv.last_txn() == before + 300
    kv.close()
