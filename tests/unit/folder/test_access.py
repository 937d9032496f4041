"""Who may use what lies in the data folder (storage-v1 T1.1)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hcom_replica.folder.access import warnings
from hcom_replica.folder.paths import Folder

SECRET = [
    "group.key",
    "device.key",
    "config.toml",
    "broker.password",
    "bridge.json",
    "daemon.log",
    "daemon.sock",
    "wake.sock",
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder as this program makes it."""
    made = Folder(tmp_path / "r")
    made.make()
    made.log.mkdir(0o700)
    for name in [*SECRET, "log/data.mdb"]:
        (made.root / name).touch(0o600)
    return made


def test_folder_for_its_user_alone_is_not_warned_about(folder: Folder) -> None:
    assert warnings(folder) == []


def test_folder_that_is_not_there_is_not_warned_about(tmp_path: Path) -> None:
    assert warnings(Folder(tmp_path / "r")) == []


@pytest.mark.parametrize("name", [*SECRET, "log/data.mdb"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o620])
def test_file_that_others_may_use_is_named_with_what_to_type(folder: Folder, name: str, mode: int) -> None:
    """T1.1"""
    path = folder.root / name
    path.chmod(mode)
    assert warnings(folder) == [f"{path} has mode {mode:04o}, others on this machine may use it (chmod 0600 {path})"]


@pytest.mark.parametrize("name", ["", "log"])
def test_folder_that_others_may_look_into_is_named_with_what_to_type(folder: Folder, name: str) -> None:
    """T1.1"""
    path = folder.root / name if name else folder.root
    path.chmod(0o755)
    assert warnings(folder) == [f"{path} has mode 0755, others on this machine may use it (chmod 0700 {path})"]


def test_password_file_counts_wherever_it_lies(folder: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.touch(0o644)
    folder.config.write_text(f'[relay]\npassword_file = "{elsewhere}"\n')
    (said,) = warnings(folder)
    assert said.startswith(f"{elsewhere} has mode 0644")


def test_settings_that_cannot_be_read_are_for_others_to_complain_about(folder: Folder) -> None:
    folder.config.write_text("password_file = [\n")
    assert warnings(folder) == []


def test_files_of_another_user_are_named(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever owns a file may give the right to read it to anybody."""
    owner = os.geteuid()
    monkeypatch.setattr("hcom_replica.folder.access.os.geteuid", lambda: owner + 1)
    said = warnings(folder)
    assert f"{folder.group_key} belongs to user {owner}, who may use it (chown {owner + 1} {folder.group_key})" in said
    assert len(said) == 2 + len(SECRET) + 1
