from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.errors import ConfigError
from hcom_replica.folder.paths import Folder, FolderLock, find_folder


@pytest.mark.parametrize(
    ("given", "environ", "path", "source"),
    [
        ("/a", {"HCOM_REPLICA_DIR": "/b", "HCOM_DIR": "/c"}, "/a", "--dir"),
        (None, {"HCOM_REPLICA_DIR": "/b", "HCOM_DIR": "/c"}, "/b", "HCOM_REPLICA_DIR"),
        (None, {"HCOM_REPLICA_DIR": "", "HCOM_DIR": "/c"}, "/c/replica", "HCOM_DIR"),
        (None, {}, str(Path.home() / ".hcom-replica"), "default"),
        ("", {}, str(Path.home() / ".hcom-replica"), "default"),
    ],
)
def test_find_folder_takes_the_first_that_is_set(
    given: str | None, environ: dict[str, str], path: str, source: str
) -> None:
    place = find_folder(given, environ)
    assert (str(place.path), place.source) == (path, source)


def test_find_folder_with_a_relative_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_folder("x/../y", {}).path == tmp_path / "y"


def test_make_gives_the_folder_to_its_user_alone(tmp_path: Path) -> None:
    """T1.1"""
    folder = Folder(tmp_path / "a" / "b")
    folder.make()
    folder.make()
    assert folder.root.stat().st_mode & 0o777 == 0o700


def test_make_where_a_file_is_refuses(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ConfigError, match="not a folder"):
        Folder(tmp_path / "f").make()


def test_lock_while_somebody_uses_the_folder_refuses_to_change_it(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    with FolderLock(folder), FolderLock(folder), pytest.raises(ConfigError, match="another process uses"):
        FolderLock(folder, exclusive=True)
    FolderLock(folder, exclusive=True).close()
