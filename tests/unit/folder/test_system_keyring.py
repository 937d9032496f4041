"""The broker's password in the system's keyring: what is asked for, and what is said when it cannot be had."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hcom_replica.daemon.session import broker_settings
from hcom_replica.errors import ConfigError
from hcom_replica.folder.config import parse_config
from hcom_replica.folder.system_keyring import password_in_keyring
from tests.harness.folders import new_token

Get = Callable[[str, str], str | None]
TOKEN = new_token("mqtts://broker.example")


def install(monkeypatch: pytest.MonkeyPatch, get: Get) -> None:
    """Put a keyring in place of the system's."""
    module = ModuleType("keyring")
    module.get_password = get  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        broker_settings(parse_config(text, Path("/data/config.toml")), TOKEN)
    return error.value


def test_password_is_that_of_the_user_under_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, lambda service, user: f"{service}/{user}")
    text = '[relay]\nusername = "replica"\npassword_keyring = "our broker"\n'
    _, shown = broker_settings(parse_config(text, Path("/data/config.toml")), TOKEN)
    assert shown.password == "our broker/replica"


def test_keyring_without_such_an_entry_says_how_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, lambda _service, _user: None)
    error = refused('[relay]\nusername = "replica"\npassword_keyring = "s"\n')
    assert "config.toml:3: relay.password_keyring: the system's keyring has no password of replica" in error.message
    assert error.hint == "keyring set s replica"


def test_keyring_that_fails_is_named_and_what_it_said_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_service: str, _user: str) -> str:
        raise RuntimeError("secret detail")

    install(monkeypatch, locked)
    with pytest.raises(ConfigError, match="does not answer: RuntimeError") as error:
        password_in_keyring("s", "u")
    assert "secret detail" not in error.value.message + error.value.hint


def test_keyring_that_is_not_installed_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match="not installed") as error:
        password_in_keyring("s", "u")
    assert "hcom-replica[keyring]" in error.value.hint


def test_password_in_two_places_or_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, lambda _service, _user: "x")
    both = '[relay]\nusername = "u"\npassword_file = "f"\npassword_keyring = "s"\n'
    assert "relay.password_file is set, too" in refused(both).message
    assert "without relay.username" in refused('[relay]\npassword_keyring = "s"\n').message
