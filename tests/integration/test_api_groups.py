"""Moving a folder from a group of its own to a real one, and dying in between."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from hcom_replica import Replica
from hcom_replica.api import groups
from hcom_replica.errors import ConfigError
from hcom_replica.folder.paths import Folder
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken


class PowerCut(Exception):
    """Stands for the machine stopping right here."""


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    with Replica.open(tmp_path / "replica") as replica:
        for number in range(3):
            replica.append("k", number, agent="luna")
    return Folder(tmp_path / "replica")


def token() -> JoinToken:
    return JoinToken(GroupKeys(secrets.token_bytes(16), secrets.token_bytes(32)), ("mqtt://127.0.0.1:1",), bytes(32))


def numbers(folder: Folder) -> list[object]:
    with Replica.open(folder.root) as replica:
        return [event.data for event in replica.events()]


def test_join_appends_own_events_again_and_keeps_the_old_log(folder: Folder) -> None:
    joined = token()
    assert groups.join(folder, joined) == 3
    with Replica.open(folder.root) as replica:
        assert replica.group == joined.keys.group.hex()
    assert numbers(folder) == [0, 1, 2]
    assert (folder.root / "log.local").is_dir()
    assert not folder.log_joining.exists()


@pytest.mark.parametrize(
    ("step", "moved"), [("joining_mark", False), ("keys.set_group", False), ("take_joined_log", True)]
)
def test_join_cut_short_leaves_the_old_group_or_the_new_one_whole(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, step: str, moved: bool
) -> None:
    def cut(*_: object) -> None:
        raise PowerCut

    joined = token()
    with monkeypatch.context() as patched:
        patched.setattr(f"hcom_replica.api.groups.{step}", cut)
        with pytest.raises(PowerCut):
            groups.join(folder, joined)
    assert numbers(folder) == [0, 1, 2]
    with Replica.open(folder.root) as replica:
        assert (replica.group == joined.keys.group.hex()) is moved
    assert not folder.log_joining.exists()
    if not moved:
        assert groups.join(folder, joined) == 3
    assert numbers(folder) == [0, 1, 2]


def test_join_while_somebody_uses_the_folder_is_refused(folder: Folder) -> None:
    with Replica.open(folder.root), pytest.raises(ConfigError, match="another process uses"):
        groups.join(folder, token())
    assert numbers(folder) == [0, 1, 2]


def test_join_of_the_same_group_again_changes_nothing(folder: Folder) -> None:
    joined = token()
    groups.join(folder, joined)
    assert groups.join(folder, joined) == 0
    assert numbers(folder) == [0, 1, 2]


def test_join_of_a_second_group_is_refused(folder: Folder) -> None:
    groups.join(folder, token())
    with pytest.raises(ConfigError, match="belongs to group"):
        groups.join(folder, token())


def test_leave_puts_the_log_aside_and_makes_room_for_another_group(folder: Folder) -> None:
    groups.join(folder, token())
    kept = groups.leave(folder)
    assert kept is not None
    assert (kept / "data.mdb").exists()
    assert numbers(folder) == []
    assert groups.join(folder, token()) == 0
