"""PahoLink against real brokers: connecting, delivering, acknowledging."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from hcom_replica.ports import Delivered, LinkDown, LinkUp, Published, Subscribed, Will
from hcom_replica.testing.real.brokers import MosquittoBroker, PrivateBroker, free_port, mosquitto_path
from hcom_replica.testing.real.certificates import make_certificates
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.transport import mqtt
from hcom_replica.transport.link import LinkSettings, PahoLink
from hcom_replica.transport.url import BrokerAddress
from tests.harness.links import LinkOwner

needs_mosquitto = pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed")


@pytest.fixture(params=[5, 4])
def version(request: pytest.FixtureRequest) -> int:
    """The MQTT version to connect with."""
    value: int = request.param
    return value


def link_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "hcom-replica-link"]


def test_start_reachable_broker_gives_one_link_up(broker: PrivateBroker) -> None:
    with LinkOwner(broker.address) as owner:
        assert [type(event) for event in owner.events] == [LinkUp]
        assert owner.wakes == 1


def test_start_nobody_listening_gives_one_link_down() -> None:
    owner = LinkOwner(BrokerAddress("127.0.0.1", free_port(), tls=False))
    down = owner.wait_for(LinkDown)
    assert not down[0].refused
    assert len(owner.events) == 1
    owner.close()
    assert len(owner.events) == 1


@needs_mosquitto
def test_start_with_version_uses_it(mosquitto: MosquittoBroker, version: int) -> None:
    with LinkOwner(mosquitto.address, version=version) as owner:
        assert owner.of(LinkUp)[0].capabilities.version == version


def test_publish_to_own_subscription_is_delivered_and_acknowledged(
    broker: PrivateBroker, prefix: str, version: int
) -> None:
    with LinkOwner(broker.address, version=version) as owner:
        owner.subscribed(f"{prefix}/+")
        assert owner.published(f"{prefix}/a", b"\x00one\xff", token=7) == Published(7)
        assert owner.wait_for(Delivered) == [Delivered(f"{prefix}/a", b"\x00one\xff", retain=False)]
        assert owner.link.pending_bytes() == 0


def test_publish_hundreds_keeps_order_and_answers_every_token(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as owner:
        owner.subscribed(f"{prefix}/a")
        sent = [f"{n}".encode() * 100 for n in range(500)]
        for token, payload in enumerate(sent):
            owner.link.publish(f"{prefix}/a", payload, retain=False, token=token)
        owner.wait_for(Delivered, count=len(sent))
        owner.wait_for(Published, count=len(sent))
        assert owner.payloads(f"{prefix}/a") == sent
        assert sorted(answer.token for answer in owner.of(Published)) == list(range(500))


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="Linux")
def test_what_was_read_is_acknowledged_at_once(
    broker: PrivateBroker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker with Nagle's algorithm would wait 40 ms with its next small message; another option can be looked at."""
    made: list[socket.socket] = []
    monkeypatch.setattr(mqtt, "tune_socket", made.append)
    monkeypatch.setattr(mqtt, "_QUICKACK", socket.TCP_KEEPCNT)
    with LinkOwner(broker.address) as owner:
        owner.published(f"{prefix}/a", b"x")
        wait_until(lambda: made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 1, 10, "it was asked for")


def test_subscribe_later_gets_retained_with_flag_and_live_without(
    broker: PrivateBroker, prefix: str, version: int
) -> None:
    with LinkOwner(broker.address) as writer, LinkOwner(broker.address, version=version) as reader:
        writer.published(f"{prefix}/a", b"old", retain=True)
        reader.subscribed(f"{prefix}/a")
        reader.wait_for(Delivered)
        writer.published(f"{prefix}/a", b"new", retain=True)
        messages = reader.wait_for(Delivered, count=2)
        assert [(message.payload, message.retain) for message in messages] == [(b"old", True), (b"new", False)]


def test_subscribe_more_filters_than_one_packet_takes_answers_in_parts(broker: PrivateBroker, prefix: str) -> None:
    filters = [f"{prefix}/{n}" for n in range(19)]
    with LinkOwner(broker.address) as owner:
        owner.subscribed(*filters)
        assert [len(answer.filters) for answer in owner.of(Subscribed)] == [8, 8, 3]
        owner.published(filters[18], b"x")
        owner.wait_for(Delivered)


@needs_mosquitto
def test_subscribe_not_fresh_on_mqtt5_gets_no_retained(mosquitto: MosquittoBroker) -> None:
    with LinkOwner(mosquitto.address) as owner:
        owner.published("a", b"old", retain=True)
        owner.subscribed("a", fresh=False)
        owner.published("a", b"new")
        owner.wait_for(Delivered)
        assert owner.payloads("a") == [b"new"]


@needs_mosquitto
def test_subscribe_no_local_on_mqtt5_gets_only_others(mosquitto: MosquittoBroker) -> None:
    with LinkOwner(mosquitto.address) as owner, LinkOwner(mosquitto.address) as other:
        owner.subscribed("a", no_local=True)
        owner.published("a", b"mine")
        other.published("a", b"theirs")
        owner.wait_for(Delivered)
        assert owner.payloads("a") == [b"theirs"]


def test_unsubscribe_ends_delivery(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as owner:
        owner.subscribed(f"{prefix}/a", f"{prefix}/fence")
        owner.link.unsubscribe([f"{prefix}/a"])
        owner.published(f"{prefix}/a", b"x")
        owner.published(f"{prefix}/fence", b"x")
        owner.wait_for(Delivered)
        assert [message.topic for message in owner.of(Delivered)] == [f"{prefix}/fence"]


def test_subscribe_malformed_filter_is_refused_and_link_lives(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as owner:
        owner.subscribed("a/#/b")
        assert owner.of(Subscribed)[0].refused == ("a/#/b",)
        assert not owner.published(f"{prefix}/a", b"x").refused


def test_publish_to_wildcard_is_refused_and_link_lives(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as owner:
        assert owner.published("a/+", b"x", token=3) == Published(3, refused=True)
        assert not owner.published(f"{prefix}/a", b"x").refused
        assert owner.link.pending_bytes() == 0


@needs_mosquitto
def test_subscribe_forbidden_topic_is_refused_by_acl(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite open/#\n")
    acl.chmod(0o600)
    with MosquittoBroker(tmp_path / "broker", extra=[f"acl_file {acl}"]) as strict, LinkOwner(strict.address) as owner:
        owner.subscribed("open/a")
        refused = owner.published("closed/a", b"x", token=1)
        assert refused == Published(1, refused=True)
        assert owner.published("open/a", b"x", token=2) == Published(2)


@needs_mosquitto
def test_publish_over_announced_packet_size_is_refused_and_link_lives(tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path, packet_bytes_max=2000) as small, LinkOwner(small.address) as owner:
        assert owner.of(LinkUp)[0].capabilities.packet_bytes_max == 2000
        assert owner.published("a", bytes(2000)).refused
        assert not owner.published("a", bytes(1900)).refused
        assert not owner.of(LinkDown)


@needs_mosquitto
def test_publish_retained_where_not_offered_is_refused_and_link_lives(tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path, retain=False) as forgetful, LinkOwner(forgetful.address) as owner:
        assert owner.of(LinkUp)[0].capabilities.retain is False
        assert owner.published("a", b"x", retain=True).refused
        assert not owner.published("a", b"x").refused


@needs_mosquitto
def test_start_right_password_gives_link_up(tmp_path: Path, version: int) -> None:
    with (
        MosquittoBroker(tmp_path, password=("luna", "s3cret")) as strict,
        LinkOwner(strict.address, credentials=strict.credentials, version=version) as owner,
    ):
        assert not owner.published("a", b"x").refused


@needs_mosquitto
def test_start_without_password_gives_refused_link_down(tmp_path: Path, version: int) -> None:
    with MosquittoBroker(tmp_path, password=("luna", "s3cret")) as strict:
        owner = LinkOwner(strict.address, version=version)
        down = owner.wait_for(LinkDown)
        assert down[0].refused
        assert owner.link.failure is not None
        assert "--password-file" in owner.link.failure.hint
        assert len(owner.events) == 1


@needs_mosquitto
def test_start_tls_with_ca_file_delivers_large_messages(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates")
    with (
        MosquittoBroker(tmp_path / "broker", tls=certificates) as secure,
        LinkOwner(secure.address, credentials=secure.credentials) as owner,
    ):
        owner.subscribed("a")
        sent = [bytes([n]) * 61_440 for n in range(30)]
        for payload in sent:
            owner.link.publish("a", payload, retain=False, token=0)
        owner.wait_for(Delivered, count=len(sent))
        assert owner.payloads("a") == sent


@needs_mosquitto
def test_start_tls_with_unknown_authority_gives_refused_link_down(tmp_path: Path) -> None:
    with MosquittoBroker(tmp_path / "broker", tls=make_certificates(tmp_path / "certificates")) as secure:
        owner = LinkOwner(secure.address)
        assert owner.wait_for(LinkDown)[0].refused
        assert owner.link.failure is not None
        assert owner.link.failure.cause == "certificate"


@needs_mosquitto
def test_start_tls_with_other_host_name_gives_refused_link_down(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates", names="DNS:elsewhere.example")
    with MosquittoBroker(tmp_path / "broker", tls=certificates) as secure:
        owner = LinkOwner(secure.address, credentials=secure.credentials)
        assert owner.wait_for(LinkDown)[0].refused


def test_start_missing_ca_file_gives_refused_link_down(tmp_path: Path, own_broker: PrivateBroker) -> None:
    from hcom_replica.transport.url import Credentials

    address = BrokerAddress("127.0.0.1", own_broker.port)
    owner = LinkOwner(address, credentials=Credentials(ca_file=tmp_path / "missing.pem"))
    assert "missing.pem" in owner.wait_for(LinkDown)[0].reason


def test_close_connected_link_gives_last_link_down_and_no_thread(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as owner:
        owner.subscribed(f"{prefix}/a")
    assert isinstance(owner.events[-1], LinkDown)
    assert len(owner.of(LinkDown)) == 1
    assert not link_threads()
    owner.close()
    owner.link.publish(f"{prefix}/a", b"x", retain=False, token=0)
    owner.link.subscribe([f"{prefix}/b"])
    assert len(owner.of(LinkDown)) == 1
    assert owner.link.pending_bytes() == 0


def test_close_never_started_link_is_harmless(broker: PrivateBroker) -> None:
    link = PahoLink(LinkSettings(broker.address), wake=lambda: None)
    link.close()
    link.close()
    assert link.drain() == []


def test_close_right_after_start_ends_with_one_link_down(broker: PrivateBroker) -> None:
    owner = LinkOwner(broker.address)
    owner.close()
    wait_until(lambda: not link_threads(), 20, "no link thread is left")
    assert len(owner.of(LinkDown)) == 1
    assert isinstance(owner.events[-1], LinkDown)


def test_close_discards_will(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as watcher:
        watcher.subscribed(f"{prefix}/will", f"{prefix}/fence")
        with LinkOwner(broker.address, will=Will(f"{prefix}/will", b"gone")):
            pass
        with LinkOwner(broker.address) as other:
            other.published(f"{prefix}/fence", b"x")
        watcher.wait_for(Delivered)
        assert watcher.payloads(f"{prefix}/will") == []


def test_wake_that_raises_ends_link_with_link_down(broker: PrivateBroker) -> None:
    def wake() -> None:
        raise RuntimeError("a bug of the owner")

    link = PahoLink(LinkSettings(broker.address), wake=wake)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _args: None)
        link.start()
        wait_until(lambda: link.failure is not None and not link_threads(), 20, "the link thread has ended")
    assert isinstance(link.drain()[-1], LinkDown)


def test_drain_undrained_flood_pauses_reading_then_delivers_all(broker: PrivateBroker, prefix: str) -> None:
    with LinkOwner(broker.address) as writer:
        reader = LinkOwner(broker.address, inbox_bytes_max=100_000).up()
        reader.subscribed(f"{prefix}/a")
        for n in range(60):
            writer.link.publish(f"{prefix}/a", bytes([n]) * 20_000, retain=False, token=n)
        writer.wait_for(Published, count=60)
        wait_until(lambda: reader.link._paused, 20, "the reader has paused")
        assert len(reader.link._inbox) <= 7
        reader.wait_for(Delivered, count=60)
        assert reader.payloads(f"{prefix}/a") == [bytes([n]) * 20_000 for n in range(60)]
        reader.close()
