from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from hcom_replica.api.output import check_free, written
from hcom_replica.errors import OutputError, UsageError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def write(path: Path, data: bytes = b"new", *, force: bool = False) -> None:
    with written(path, force=force) as file:
        file.write(data)


def test_written_file_is_whole_and_private(tmp_path: Path) -> None:
    write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    assert names(tmp_path) == ["out"]


def test_file_that_is_there_is_refused_without_force(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with pytest.raises(UsageError, match="exists already") as caught:
        write(tmp_path / "out")
    assert "--force" in caught.value.hint
    with pytest.raises(UsageError, match="exists already"):
        check_free(tmp_path / "out", force=False)  # before anything is worked out that would be written there
    assert (tmp_path / "out").read_bytes() == b"old"
    write(tmp_path / "out", force=True)
    assert (tmp_path / "out").read_bytes() == b"new"


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:

    def meanwhile() -> None:
        with written(tmp_path / "out", force=False) as file:
            file.write(b"new")
            (tmp_path / "out").write_bytes(b"other")

    with pytest.raises(UsageError, match="exists already"):
        meanwhile()
    assert (tmp_path / "out").read_bytes() == b"other"
    assert names(tmp_path) == ["out"]


def test_writer_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")

    def failing() -> None:
        with written(tmp_path / "out", force=True) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert (tmp_path / "out").read_bytes() == b"old"
    assert names(tmp_path) == ["out"]


def test_folder_is_refused_and_a_place_that_is_not_there_too(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        write(tmp_path, force=True)
    with pytest.raises(OutputError, match="no such file"):
        write(tmp_path / "missing" / "out")


def test_pipe_is_written_as_it_comes_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(30)
    assert read == [b"new"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_large_file_is_there_whole_though_it_goes_to_the_disk_on_the_way(tmp_path: Path) -> None:
    path, pieces = tmp_path / "large", [bytes([number]) * 300_001 for number in range(60)]
    with written(path, force=False) as file:
        for piece in pieces:
            file.write(piece)
    assert path.read_bytes() == b"".join(pieces)
    assert [one.name for one in tmp_path.iterdir()] == ["large"]
