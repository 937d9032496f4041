"""Broker URLs: every accepted form, every refused one, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.errors import ConfigError
from hcom_replica.transport.url import DEFAULT_BROKERS, BrokerAddress, Credentials, parse_broker_url


def test_credentials_for_one_host_are_shown_to_no_other() -> None:
    """P16.6"""
    given = Credentials("u", "secret", Path("ca.pem"), "here.example.org")
    assert given.shown_to(BrokerAddress("here.example.org", 1883, tls=False)) == given
    assert given.shown_to(BrokerAddress("there.example.org", 8883)) == Credentials(ca_file=Path("ca.pem"))
    anywhere = Credentials("u", "secret")
    assert anywhere.shown_to(BrokerAddress("there.example.org", 8883)) == anywhere


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtt://localhost", BrokerAddress("localhost", 1883, tls=False)),
        ("mqtt://localhost:2883", BrokerAddress("localhost", 2883, tls=False)),
        ("mqtts://broker.example.org", BrokerAddress("broker.example.org", 8883)),
        ("mqtts://broker.example.org:443/", BrokerAddress("broker.example.org", 443)),
        ("broker.example.org", BrokerAddress("broker.example.org", 8883)),
        ("broker.example.org:8886", BrokerAddress("broker.example.org", 8886)),
        ("  MQTTS://Broker.Example.ORG  ", BrokerAddress("broker.example.org", 8883)),
        ("mqtt://192.0.2.7:1884", BrokerAddress("192.0.2.7", 1884, tls=False)),
        ("[::1]", BrokerAddress("::1", 8883)),
        ("mqtt://[2001:DB8:0:0::1]:1883", BrokerAddress("2001:db8::1", 1883, tls=False)),
        ("my_box-1:65535", BrokerAddress("my_box-1", 65535)),
    ],
)
def test_parse_accepted_form_gives_address(text: str, expected: BrokerAddress) -> None:
    assert parse_broker_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mqtt://",
        ":1883",
        "host:",
        "host:0",
        "host:65536",
        "host:x",
        "host:-1",
        "host: 1883",
        "host:1883:1",
        "::1",
        "[::1",
        "[::1]x",
        "[nonsense]:1883",
        "http://host",
        "wss://host:443",
        "mqtt:/host",
        "host/path",
        "host?x=1",
        "ho st",
        "host..name",
        "-host",
        "a" * 254,
    ],
)
def test_parse_wrong_text_is_refused_with_hint(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_broker_url(text)
    assert "mqtts://" in caught.value.hint


def test_parse_password_in_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_broker_url("mqtts://luna:s3cret@host")
    assert "s3cret" not in str(caught.value)
    assert "--password-file" in caught.value.hint


@pytest.mark.parametrize("address", [*DEFAULT_BROKERS, BrokerAddress("::1", 1, tls=False)])
def test_url_parsed_again_is_same_address(address: BrokerAddress) -> None:
    assert parse_broker_url(address.url) == address
    assert str(address) == address.url


def test_url_writes_default_port_and_brackets() -> None:
    assert parse_broker_url("mqtt://[::1]").url == "mqtt://[::1]:1883"
    assert parse_broker_url("host").url == "mqtts://host:8883"


def test_default_brokers_are_all_tls() -> None:
    assert [broker.tls for broker in DEFAULT_BROKERS] == [True, True, True]


def test_credentials_repr_hides_password() -> None:
    credentials = Credentials(username="luna", password="s3cret")
    assert "s3cret" not in repr(credentials)
    assert "luna" in repr(credentials)
