from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.errors import ConfigError
from hcom_replica.folder.config import load_config
from hcom_replica.folder.config_edit import change_config


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_change_without_a_file_makes_one_that_explains_itself(path: Path) -> None:
    change_config(path, {"relay.enabled": False, "device.name": "BOXE"})
    text = path.read_text()
    assert "#slots = 32" in text
    assert path.stat().st_mode & 0o777 == 0o600
    config = load_config(path)
    assert not config.enabled
    assert config.device_name == "BOXE"


def test_change_keeps_comments_order_and_other_keys(path: Path) -> None:
    path.write_text(
        '# mine\n[log]\nsync = false # slow disk\n\n[relay] # here\nenabled = true  # why "#" not\nusername = "a#b"\n'
    )
    change_config(path, {"relay.enabled": False, "relay.username": "c#d", "relay.broker": ("h:1", "i:2")})
    assert path.read_text() == (
        '# mine\n[log]\nsync = false # slow disk\n\n[relay] # here\nbroker = ["h:1", "i:2"]\n'
        'enabled = false  # why "#" not\nusername = "c#d"\n'
    )


def test_change_replaces_a_list_over_several_lines(path: Path) -> None:
    path.write_text('[relay]\nbroker = [\n  "a:1", # first\n  "b:2",\n]\nenabled = true\n')
    change_config(path, {"relay.broker": "c:3"})
    assert path.read_text() == '[relay]\nbroker = "c:3"\nenabled = true\n'


def test_change_to_none_takes_the_key_out(path: Path) -> None:
    path.write_text('[relay]\nusername = "u"\nenabled = true\n')
    change_config(path, {"relay.username": None})
    assert path.read_text() == "[relay]\nenabled = true\n"


def test_change_with_awkward_text_is_read_back_equal(path: Path) -> None:
    awkward = 'quo"te \\ back\nline\ttab ü'
    assert change_config(path, {"relay.username": awkward}).username == awkward


def test_change_of_a_file_in_unusual_form_is_refused_and_changes_nothing(path: Path) -> None:
    path.write_text("relay = { enabled = true }\n")
    with pytest.raises(ConfigError) as caught:
        change_config(path, {"relay.enabled": False})
    assert "by hand: relay.enabled = false" in caught.value.hint
    assert path.read_text() == "relay = { enabled = true }\n"


def test_change_of_a_file_with_a_mistake_names_its_line(path: Path) -> None:
    path.write_text("[relay]\nnonsense = 1\n")
    with pytest.raises(ConfigError, match=":2: no such key"):
        change_config(path, {"relay.enabled": False})
