"""What changes in a folder when its group moves to another broker (protocol-v1 P16.3, P16.6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.daemon.moving import brokers_before, settle
from hcom_replica.daemon.session import broker_settings
from hcom_replica.errors import ConfigError
from hcom_replica.folder import keys
from hcom_replica.folder.config import load_config
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.paths import Folder
from hcom_replica.transport.url import parse_broker_url
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken

OLD, NEW, NEWER = "mqtt://old:1883", "mqtts://new:8883", "mqtts://newer:8883"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "r")
    made.make()
    keys.set_group(made, JoinToken(GroupKeys(bytes(16), bytes(32)), (OLD,), bytes(32)))
    return made


def tried(folder: Folder) -> list[str]:
    """The brokers that a daemon tries, in order."""
    token = keys.group_token(folder)
    assert token is not None
    brokers, _ = broker_settings(load_config(folder.config), token, brokers_before(folder))
    return [one.url for one in brokers]


def test_settings_and_token_name_the_new_broker_and_the_old_one_is_tried_after_it(folder: Folder) -> None:
    """P16.3, P16.6"""
    settle(folder, NEW)
    token = keys.group_token(folder)
    assert token is not None
    assert token.brokers == (NEW,)
    assert load_config(folder.config).brokers == (NEW,)
    assert tried(folder) == [NEW, OLD]
    settle(folder, NEWER)
    assert tried(folder) == [NEWER, NEW, OLD]
    settle(folder, OLD)
    assert tried(folder) == [OLD, NEWER, NEW]
    assert len(folder.group_key.read_text().split()) == 1


@pytest.mark.parametrize("done", ["moved.from", "config.toml"])
def test_move_that_was_cut_short_is_finished_by_doing_it_again(folder: Folder, done: str) -> None:
    """P16.3: the token comes last, and decides."""
    settle(folder, NEW)
    keys.set_group(folder, JoinToken(GroupKeys(bytes(16), bytes(32)), (OLD,), bytes(32)))
    if done == "moved.from":
        change_config(folder.config, {"relay.broker": OLD})
    settle(folder, NEW)
    assert tried(folder) == [NEW, OLD]


def test_password_of_the_old_host_stays_for_that_host(folder: Folder) -> None:
    """P16.6"""
    change_config(folder.config, {"relay.username": "u"})
    settle(folder, NEW)
    assert load_config(folder.config).credentials_for == "old"
    token = keys.group_token(folder)
    assert token is not None
    _, shown = broker_settings(load_config(folder.config), token)
    assert shown.shown_to(parse_broker_url(NEW)).username is None
    assert shown.shown_to(parse_broker_url(OLD)).username == "u"
    settle(folder, NEWER)
    assert load_config(folder.config).credentials_for == "old"


def test_password_goes_along_to_another_port_of_the_same_host(folder: Folder) -> None:
    """P16.6"""
    change_config(folder.config, {"relay.username": "u"})
    settle(folder, "mqtts://old:8883")
    assert load_config(folder.config).credentials_for is None


def test_damaged_list_of_brokers_before_is_passed_over(folder: Folder) -> None:
    folder.moved_from.write_text(f"rubbish://x\n{OLD}\n")
    assert [one.url for one in brokers_before(folder)] == [OLD]


def test_broker_that_is_no_url_changes_nothing(folder: Folder) -> None:
    with pytest.raises(ConfigError):
        settle(folder, "http://x")
    assert not folder.moved_from.exists()
    assert not folder.config.exists()
