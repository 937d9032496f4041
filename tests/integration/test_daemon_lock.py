"""One daemon a folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hcom_replica.daemon.lock import NAME, DaemonLock, holder
from hcom_replica.errors import DaemonError

_HOLD = "import sys; from pathlib import Path; from hcom_replica.daemon.lock import DaemonLock; "
_HOLD += "lock = DaemonLock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_lock_held_is_refused_to_others_with_the_pid(tmp_path: Path) -> None:
    with DaemonLock(tmp_path), pytest.raises(DaemonError, match=rf"pid {os.getpid()}\b"):
        DaemonLock(tmp_path)


def test_lock_given_back_can_be_taken_again(tmp_path: Path) -> None:
    DaemonLock(tmp_path).close()
    with DaemonLock(tmp_path):
        assert holder(tmp_path) == os.getpid()


def test_holder_of_a_folder_nobody_works_on_is_none(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    DaemonLock(tmp_path).close()
    assert (tmp_path / NAME).exists()
    assert holder(tmp_path) is None


def test_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        assert holder(tmp_path) == child.pid
        child.kill()
    assert holder(tmp_path) is None
    DaemonLock(tmp_path).close()


def test_lock_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DaemonError):
        DaemonLock(tmp_path / "missing")
