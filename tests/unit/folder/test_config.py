from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.errors import ConfigError
from hcom_replica.folder.config import KEYS, parse_config
from hcom_replica.folder.config_edit import edited, template

PATH = Path("/data/config.toml")


def test_config_when_empty_has_every_default() -> None:
    config = parse_config("", PATH)
    assert config.brokers == ()
    assert config.enabled
    assert config.sync
    assert config.mailbox_slots == 32
    assert {setting.source for setting in config.settings.values()} == {"default"}


def test_config_with_every_key_gives_values_and_lines() -> None:
    config = parse_config(
        '[relay]\nbroker = "h:1"\nenabled = false\nusername = "u"\npassword_file = "p"\nca_file = "/ca.pem"\n'
        '[device]\nname = "BOXE"\n[log]\nsync = false\n[mailbox]\nslots = 8\n[daemon]\nlog_level = "debug"\n',
        PATH,
    )
    assert config.brokers == ("h:1",)
    assert not config.enabled
    assert config.username == "u"
    assert config.password_file == Path("/data/p")
    assert config.ca_file == Path("/ca.pem")
    assert config.device_name == "BOXE"
    assert not config.sync
    assert config.mailbox_slots == 8
    assert config.log_level == "debug"
    assert config.settings["device.name"].source == "config.toml line 8"


def test_config_with_a_list_of_brokers_keeps_their_order() -> None:
    assert parse_config('[relay]\nbroker = [\n "b:1",\n "a:2",\n]\n', PATH).brokers == ("b:1", "a:2")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[relay]\nbrokr = 'h'\n", "/data/config.toml:2: no such key: relay.brokr", "broker under [relay]"),
        ("\nenabled = true\n", ":2: no such key: enabled", "enabled under [relay]"),
        ("[realy]\nenabled = true\n", ":2: no such key: realy.enabled", "enabled under [relay]"),
        ("[x]\nqqqqqqq = 1\n", ":2: no such key: x.qqqqqqq", "shows all keys"),
        ("relay = 3\n", ":1: no such key: relay", "shows all keys"),
        ("[relay]\n\nenabled = 1\n", ":3: relay.enabled cannot be 1", "write true or false"),
        ("[mailbox]\nslots = 1\n", ":2: mailbox.slots cannot be 1", "from 2 to 256"),
        ("[mailbox]\nslots = true\n", ":2: mailbox.slots cannot be True", "whole number"),
        ('[device]\nname = "boxe"\n', ":2: device.name cannot be 'boxe'", "2 to 16"),
        ('[daemon]\nlog_level = "loud"\n', ":2: daemon.log_level cannot be 'loud'", '"info"'),
        ("[relay]\nbroker = 3\n", ":2: relay.broker cannot be 3", "broker URL"),
        ("[relay]\nusername = ''\n", ":2: relay.username cannot be ''", "quotes"),
        ("[relay]\nbroker = h:1\n", ":2: not TOML", "quotes"),
        ("[relay\n", ":1: not TOML", "quotes"),
    ],
)
def test_config_with_a_mistake_names_line_and_remedy(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, PATH)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_template_names_every_key_and_sets_none() -> None:
    text = template()
    assert all(f"#{key.name.partition('.')[2]} =" in text for key in KEYS)
    assert parse_config(text, PATH).settings == parse_config("", PATH).settings


def test_template_with_its_comment_marks_removed_is_valid() -> None:
    lines = [
        line[1:] if line.startswith("#") and line[1] != " " and "..." not in line else line
        for line in template().splitlines()
    ]
    values = {name: setting.value for name, setting in parse_config("\n".join(lines), PATH).settings.items()}
    assert values == {key.name: key.default for key in KEYS}


def test_refuse_names_the_line_of_a_value_found_wrong_later() -> None:
    config = parse_config('\n[relay]\nbroker = "http://x"\n', PATH)
    error = config.refuse("relay.broker", ConfigError("not a broker URL", hint="h"))
    assert error.message == "/data/config.toml:3: relay.broker: not a broker URL"
    assert error.hint == "h"


@pytest.mark.parametrize(
    "value", ["9" * 5_000, "[" * 3_000, "{a=" * 2_000], ids=["a number", "lists in lists", "tables in tables"]
)
def test_value_out_of_all_bounds_is_refused_where_the_file_is_read_and_edited(value: str) -> None:
    """Found by the fuzzer: TOML's own reader raises something else than its own error for these."""
    text = f"[relay]\nbroker = {value}\n"
    with pytest.raises(ConfigError, match="not TOML"):
        parse_config(text, PATH)
    with pytest.raises(ConfigError):
        edited(PATH, text, {"relay.broker": "mqtts://h"})


@pytest.mark.parametrize("path", ["~no-such-user/secret", "a\\u0000b", "~\\u0000"])
def test_path_that_no_system_takes_is_refused_with_its_line(path: str) -> None:
    """Found by the fuzzer."""
    with pytest.raises(ConfigError, match=r"config\.toml:2: relay\.password_file cannot be"):
        parse_config(f'[relay]\npassword_file = "{path}"\n', PATH)
