"""The canary against brokers that can everything, some things, or refuse."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

import pytest
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from hcom_replica.errors import BrokerError
from hcom_replica.limits import MESSAGE_BYTES_MAX
from hcom_replica.ports import Delivered
from hcom_replica.testing.real.brokers import MosquittoBroker, PrivateBroker, free_port, mosquitto_path
from hcom_replica.testing.real.certificates import make_certificates
from hcom_replica.transport.broker import EmbeddedBroker
from hcom_replica.transport.canary import probe, reachable
from hcom_replica.transport.url import BrokerAddress, Credentials
from tests.harness.links import LinkOwner

needs_mosquitto = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed")


def test_probe_able_broker_finds_everything_and_leaves_nothing(broker: PrivateBroker, prefix: str) -> None:
    found = probe(broker.address, prefix=prefix)
    assert (found.retain, found.retain_wildcard) == (True, True)
    assert found.packet_bytes_max is None or found.packet_bytes_max > MESSAGE_BYTES_MAX
    with LinkOwner(broker.address) as owner:
        owner.subscribed(f"{prefix}/#")
        owner.published(f"{prefix}/fence", b"x")
        owner.wait_for(Delivered, lambda message: message.topic == f"{prefix}/fence")
        assert len(owner.of(Delivered)) == 1


def test_probe_embedded_broker_finds_mqtt311_with_wildcards(prefix: str) -> None:
    with EmbeddedBroker() as embedded:
        found = probe(embedded.address, prefix=prefix)
    assert (found.version, found.retain, found.retain_wildcard, found.packet_bytes_max) == (4, True, True, None)


@needs_mosquitto
@pytest.mark.parametrize("version", [5, 4])
def test_probe_broker_that_retains_nothing_finds_out_announced_or_not(
    tmp_path: Path, prefix: str, version: int
) -> None:
    with MosquittoBroker(tmp_path, retain=False) as forgetful:
        found = probe(forgetful.address, prefix=prefix, version=version)
    assert (found.version, found.retain, found.retain_wildcard) == (version, False, False)


def test_probe_broker_without_retained_for_wildcards_finds_out(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    give = Broker._publish_retained_messages_for_subscription

    async def give_exact_only(self: Broker, subscription: tuple[str, int], session: Session) -> None:
        if "+" not in subscription[0]:
            await give(self, subscription, session)

    monkeypatch.setattr(Broker, "_publish_retained_messages_for_subscription", give_exact_only)
    with EmbeddedBroker() as embedded:
        found = probe(embedded.address, prefix=prefix)
    assert (found.retain, found.retain_wildcard) == (True, False)


@needs_mosquitto
def test_probe_small_broker_finds_largest_payload(tmp_path: Path, prefix: str) -> None:
    with MosquittoBroker(tmp_path, packet_bytes_max=20_000) as small:
        assert probe(small.address, prefix=prefix).packet_bytes_max == 15 * 1024


@needs_mosquitto
def test_probe_without_right_to_publish_raises_with_hint(tmp_path: Path, prefix: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read #\n")
    acl.chmod(0o600)
    with (
        MosquittoBroker(tmp_path / "broker", extra=[f"acl_file {acl}"]) as strict,
        pytest.raises(BrokerError, match="does not deliver") as caught,
    ):
        probe(strict.address, prefix=prefix)
    assert "access rules" in caught.value.hint


def test_reachable_running_broker_gives_milliseconds(broker: PrivateBroker) -> None:
    assert 0 < reachable(broker.address) < 5_000


def test_reachable_closed_port_raises_unreachable() -> None:
    with pytest.raises(BrokerError, match="refused") as caught:
        reachable(BrokerAddress("127.0.0.1", free_port(), tls=False))
    assert caught.value.hint
    assert caught.value.exit_code == 4


def test_reachable_unknown_host_raises_name_error() -> None:
    with pytest.raises(BrokerError, match="does not resolve"):
        reachable(BrokerAddress("nowhere.invalid", 1883, tls=False))


def test_reachable_silent_port_raises_in_time() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute, pytest.raises(BrokerError, match="no answer"):
        reachable(BrokerAddress("127.0.0.1", mute.getsockname()[1], tls=False), timeout_s=0.3)


@needs_mosquitto
def test_reachable_wrong_password_raises_with_hint(tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path, password=("luna", "s3cret")) as strict:
        assert reachable(strict.address, strict.credentials) > 0
        with pytest.raises(BrokerError) as caught:
            reachable(strict.address, Credentials("luna", "wrong-one"))
    assert "--password-file" in caught.value.hint
    assert "wrong-one" not in f"{caught.value} {caught.value.hint}"


@needs_mosquitto
def test_reachable_plain_to_tls_port_hints_at_tls(tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", tls=make_certificates(tmp_path / "certificates")) as secure:
        assert reachable(secure.address, secure.credentials) > 0
        with pytest.raises(BrokerError) as caught:
            reachable(BrokerAddress("127.0.0.1", secure.port, tls=False))
    assert "mqtts://" in caught.value.hint


def test_reachable_tls_to_plain_port_hints_at_plain(broker: PrivateBroker) -> None:
    with pytest.raises(BrokerError) as caught:
        reachable(BrokerAddress("127.0.0.1", broker.port))
    assert "mqtt://" in caught.value.hint


@needs_mosquitto
def test_reachable_other_authority_hints_at_ca_file(tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other")
    with (
        MosquittoBroker(tmp_path / "broker", tls=make_certificates(tmp_path / "certificates")) as secure,
        pytest.raises(BrokerError, match="not trusted") as caught,
    ):
        reachable(secure.address, Credentials(ca_file=other.ca))
    assert "--ca-file" in caught.value.hint


def test_reachable_ca_file_that_is_no_pem_raises(tmp_path: Path) -> None:
    wrong = tmp_path / "ca.pem"
    wrong.write_text("not a certificate")
    with pytest.raises(BrokerError, match=r"ca\.pem: not a PEM file"):
        reachable(BrokerAddress("127.0.0.1", free_port()), Credentials(ca_file=wrong))
