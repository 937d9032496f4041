"""Waiting for commits of other processes (`api.changes`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hcom_replica.api import changes
from hcom_replica.api.changes import Changes
from hcom_replica.api.replica import Replica

_APPEND = "import sys; from hcom_replica.api.replica import Replica; Replica.open(sys.argv[1]).append('k')"


def _append_elsewhere(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _APPEND, str(folder)])


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
@pytest.mark.parametrize("sync", [True, False])
def test_commit_of_another_process_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: bool) -> None:
    monkeypatch.setattr(changes, "_LOOK_S", 3_600.0)
    with Replica.open(tmp_path / "r", name="BENA", sync=sync) as replica, Changes(replica.folder.log) as told:
        with _append_elsewhere(tmp_path / "r") as other:
            while replica.log.event_count() == 0:
                told.wait()
        assert other.returncode == 0


def test_follower_sees_commits_where_the_system_tells_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "other")
    with Replica.open(tmp_path / "r", name="BENA") as replica:
        found = replica.follow(timeout_s=60)
        with _append_elsewhere(tmp_path / "r"):
            assert next(found).kind == "k"
        found.close()
