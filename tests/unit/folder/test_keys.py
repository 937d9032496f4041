from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hcom_replica.errors import ConfigError
from hcom_replica.folder.files import create_once
from hcom_replica.folder.keys import (
    device_key,
    earlier_epochs,
    group_token,
    local_group,
    name_from_file,
    set_group,
)
from hcom_replica.folder.paths import Folder
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_device_key_is_made_once_and_private(folder: Folder) -> None:
    """T1.1"""
    first = device_key(folder)
    assert device_key(folder).public == first.public
    assert folder.device_key.stat().st_mode & 0o777 == 0o600
    assert len(folder.device_key.read_bytes()) == 32


def test_create_once_by_many_at_once_has_one_winner(folder: Folder) -> None:
    contents = [bytes([n]) * 32 for n in range(16)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda data: create_once(folder.device_key, data), contents))
    assert made.count(True) == 1
    assert folder.device_key.read_bytes() == contents[made.index(True)]
    assert [path.name for path in folder.root.iterdir()] == ["device.key"]


def test_device_key_of_wrong_size_is_refused(folder: Folder) -> None:
    folder.device_key.write_bytes(b"short")
    with pytest.raises(ConfigError, match="5 bytes instead of 32"):
        device_key(folder)


def test_local_group_is_made_once_and_has_no_broker(folder: Folder) -> None:
    assert group_token(folder) is None
    first = local_group(folder)
    assert first.brokers == ()
    assert local_group(folder).keys == first.keys


def test_set_group_replaces_the_token(folder: Folder) -> None:
    local_group(folder)
    other = local_group(Folder(folder.root))
    set_group(folder, other)
    assert group_token(folder) == other
    assert folder.group_key.stat().st_mode & 0o777 == 0o600


def test_group_token_that_is_damaged_names_its_file(folder: Folder) -> None:
    folder.group_key.write_text("hcr1_abc")
    with pytest.raises(ConfigError, match=r"group\.key: the token is cut off"):
        group_token(folder)


def test_name_from_file_prefers_the_folder_over_hcom(folder: Folder, tmp_path: Path) -> None:
    hcom = tmp_path / "hcom"
    hcom.mkdir()
    (hcom / "relay.device").write_text("HCOM\n")
    environ = {"HCOM_DIR": str(hcom)}
    assert name_from_file(folder, {}) is None
    assert name_from_file(folder, environ) == ("HCOM", hcom / "relay.device")
    folder.device_name.write_text("MINE")
    assert name_from_file(folder, environ) == ("MINE", folder.device_name)


def test_name_from_file_that_is_no_name_is_refused(folder: Folder) -> None:
    folder.device_name.write_text("not a name")
    with pytest.raises(ConfigError, match="not a device name"):
        name_from_file(folder, {})


def test_group_of_every_folder_is_drawn_anew(tmp_path: Path) -> None:
    """P2.1"""
    folders = [Folder(tmp_path / name) for name in ("one", "two")]
    for folder in folders:
        folder.make()
    keys = [local_group(folder).keys for folder in folders]
    assert {(len(each.group), len(each.secret), each.epoch) for each in keys} == {(16, 32, 1)}
    assert len({each.group for each in keys} | {each.secret[:16] for each in keys}) == 4


def test_tokens_of_earlier_epochs_stay_behind_the_one_that_counts(folder: Folder) -> None:
    """T1.1"""
    group, founder = bytes(16), bytes(32)
    tokens = [JoinToken(GroupKeys(group, bytes([number]) * 32, number), ("mqtt://b",), founder) for number in (1, 2, 3)]
    for token in tokens:
        set_group(folder, token)
    assert group_token(folder) == tokens[2]
    assert earlier_epochs(folder) == (tokens[1].keys, tokens[0].keys)
    set_group(folder, tokens[0])
    assert group_token(folder) == tokens[0]
    assert set(earlier_epochs(folder)) == {tokens[1].keys, tokens[2].keys}
    other = JoinToken(GroupKeys(b"x" * 16, bytes(32)), ("mqtt://b",), founder)
    set_group(folder, other)
    assert earlier_epochs(folder) == ()


def test_damaged_line_of_an_earlier_token_is_skipped(folder: Folder) -> None:
    token = JoinToken(GroupKeys(bytes(16), bytes(32), 2), ("mqtt://b",), bytes(32))
    set_group(folder, token)
    with folder.group_key.open("a") as file:
        file.write("hcr1_damaged\n")
    assert group_token(folder) == token
    assert earlier_epochs(folder) == ()


def test_file_that_is_far_too_large_is_refused_before_it_is_read(folder: Folder) -> None:
    """A link to something without an end must not eat the memory."""
    folder.group_key.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="more than"):
        group_token(folder)
