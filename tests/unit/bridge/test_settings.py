"""What the bridge writes into hcom's config.toml, and its own file (B6.1, B6.2)."""

from __future__ import annotations

import tomllib

import pytest

from hcom_replica.bridge.filed import encode_file
from hcom_replica.bridge.relay_config import in_a_group, pointed, read_relay, with_relay
from hcom_replica.bridge.settings import BridgeSettings, decode_settings
from hcom_replica.errors import BridgeError, ConfigError

SETTINGS = BridgeSettings(
    "/home/u/.hcom", "/usr/bin/hcom", 4321, "a1b2c3d4-e5f6-7890-abcd-ef1234567890", "00" * 32, "pw", {}
)
FULL = """# hcom configuration

[terminal]
active = "default"   # keep
url = "not the relay's"

[relay]
url = "mqtts://b:8883"
id = "x"
token = ""
enabled = true
psk = "k"
colour = "blue"

[zz]
id = 3
"""


@pytest.mark.parametrize(
    "text", [FULL, FULL.replace("[relay]", "  [ relay ] # here"), "", "[terminal]\na = 1\n", "[relay]\n", "[relay]"]
)
def test_relay_is_pointed_here_and_put_back_and_all_else_stays(text: str) -> None:
    """B6.2"""
    before = read_relay(text, "config.toml")
    changed = with_relay(text, pointed(SETTINGS))
    assert read_relay(changed, "x") == pointed(SETTINGS)
    assert pointed(SETTINGS)["url"] == "mqtt://127.0.0.1:4321"
    others = {line for line in text.splitlines() if line and line.split(" = ")[0] not in pointed(SETTINGS)}
    assert others <= set(changed.splitlines())
    back = with_relay(changed, before)
    assert read_relay(back, "x") == before
    stripped = {key: value for key, value in tomllib.loads(back).items() if value}
    assert stripped == {key: value for key, value in tomllib.loads(text).items() if value}


def test_config_that_is_not_toml_is_refused() -> None:
    """B6.2"""
    with pytest.raises(BridgeError, match="not TOML"):
        read_relay("[relay", "config.toml")
    assert read_relay("relay = 3", "x") == {}


@pytest.mark.parametrize(
    ("relay", "expected"),
    [
        ({}, False),
        ({"id": ""}, False),
        ({"id": "x"}, True),
        ({"id": "x", "enabled": True}, True),
        ({"id": "x", "enabled": False}, False),
    ],
)
def test_relay_is_in_a_group_when_it_has_one_and_is_on(relay: dict[str, object], expected: bool) -> None:
    """B6.3"""
    assert in_a_group(relay) is expected


def test_settings_are_read_as_they_were_written() -> None:
    """B6.1"""
    assert decode_settings(encode_file(SETTINGS), "bridge.json") == SETTINGS


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\xff",
        encode_file(SETTINGS).replace(b"4321", b"0"),
        encode_file(SETTINGS).replace(b"00" * 32, b"zz"),
    ],
)
def test_settings_that_are_none_are_refused(data: bytes) -> None:
    """B6.1"""
    with pytest.raises(ConfigError, match="is not usable"):
        decode_settings(data, "bridge.json")
