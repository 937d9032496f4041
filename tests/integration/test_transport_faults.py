"""PahoLink when the broker, the network or the owner fails: one LinkDown, and nothing of a dead link ever arrives."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from hcom_replica.ports import Delivered, LinkDown, LinkUp, Published, Will
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.transport.url import BrokerAddress
from tests.harness.links import LinkOwner


def test_broker_killed_gives_one_link_down_last(own_broker: PrivateBroker) -> None:
    owner = LinkOwner(own_broker.address).up()
    own_broker.kill()
    owner.wait_for(LinkDown)
    assert [type(event) for event in owner.events] == [LinkUp, LinkDown]
    owner.close()
    assert len(owner.events) == 2


def test_broker_restarted_needs_new_link_and_keeps_retained(own_broker: PrivateBroker) -> None:
    first = LinkOwner(own_broker.address).up()
    first.published("a", b"kept", retain=True)
    own_broker.restart()
    first.wait_for(LinkDown)
    with LinkOwner(own_broker.address) as second:
        second.subscribed("a")
        second.wait_for(Delivered)
        assert second.payloads("a") == [b"kept"]


def test_broker_restarted_forgetting_has_no_retained(own_broker: PrivateBroker) -> None:
    with LinkOwner(own_broker.address) as first:
        first.published("a", b"lost", retain=True)
    own_broker.restart(forget=True)
    with LinkOwner(own_broker.address) as second:
        second.subscribed("a")
        second.published("a", b"fence")
        second.wait_for(Delivered)
        assert second.payloads("a") == [b"fence"]


def test_connection_cut_publishes_will_retained(own_broker: PrivateBroker, proxy: ChaosProxy) -> None:
    owner = LinkOwner(proxy.address, will=Will("presence", b"gone")).up()
    with LinkOwner(own_broker.address) as watcher:
        watcher.subscribed("presence")
        proxy.cut()
        watcher.wait_for(Delivered)
        assert watcher.payloads("presence") == [b"gone"]
    with LinkOwner(own_broker.address) as late:
        late.subscribed("presence")
        assert late.wait_for(Delivered)[0].retain
    owner.wait_for(LinkDown)
    owner.close()


def test_publishes_queued_in_dead_link_never_reach_broker(own_broker: PrivateBroker, proxy: ChaosProxy) -> None:
    with LinkOwner(own_broker.address) as watcher:
        watcher.subscribed("head", "fence")
        stale = LinkOwner(proxy.address, window=2).up()
        proxy.black_hole()
        for n in range(90, 96):
            stale.link.publish("head", f"{n}".encode(), retain=True, token=n)
        assert stale.link.pending_bytes() == 12
        proxy.drop()
        stale.wait_for(LinkDown)
        proxy.heal()
        with LinkOwner(proxy.address) as fresh:
            fresh.published("head", b"100", retain=True)
            fresh.published("fence", b"x")
        watcher.wait_for(Delivered, lambda message: message.topic == "fence")
        assert watcher.payloads("head") == [b"100"]
        assert stale.of(Published) == []
        stale.close()


@pytest.mark.slow
def test_silent_broker_is_noticed_by_keepalive(own_broker: PrivateBroker, proxy: ChaosProxy) -> None:
    owner = LinkOwner(proxy.address, keepalive_s=1).up()
    proxy.black_hole()
    assert owner.wait_for(LinkDown)[0].reason == "the broker stopped answering"
    owner.close()


@pytest.mark.slow
def test_silent_broker_with_publishes_outstanding_is_noticed(own_broker: PrivateBroker, proxy: ChaosProxy) -> None:
    owner = LinkOwner(proxy.address, keepalive_s=1).up()
    proxy.black_hole()
    owner.link.publish("a", bytes(60_000), retain=False, token=1)
    owner.wait_for(LinkDown)
    assert owner.of(Published) == []
    owner.close()


@pytest.mark.slow
def test_slow_uplink_with_short_keepalive_stays_up(own_broker: PrivateBroker, proxy: ChaosProxy) -> None:
    proxy.limit(up_bytes_s=50_000)
    with LinkOwner(proxy.address, keepalive_s=1) as owner:
        for token in range(20):
            owner.link.publish("a", bytes(10_000), retain=False, token=token)
        owner.wait_for(Published, count=20)
        assert owner.of(LinkDown) == []


def test_close_in_black_hole_returns_and_leaves_no_thread(own_broker: PrivateBroker, proxy: ChaosProxy) -> None:
    owner = LinkOwner(proxy.address).up()
    proxy.black_hole()
    for token in range(50):
        owner.link.publish("a", bytes(60_000), retain=False, token=token)
    owner.close()
    wait_until(lambda: "hcom-replica-link" not in {one.name for one in threading.enumerate()}, 20, "no link thread")
    assert len(owner.of(LinkDown)) == 1


def test_broker_that_never_answers_gives_link_down() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        address = BrokerAddress("127.0.0.1", mute.getsockname()[1], tls=False)
        owner = LinkOwner(address, connect_timeout_s=0.2)
        assert "no answer" in owner.wait_for(LinkDown)[0].reason
        owner.close()
        assert len(owner.events) == 1


@contextmanager
def scripted_broker(*answers: bytes) -> Iterator[BrokerAddress]:
    """Answer the first bytes of each connection with the next of `answers`, then close it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(answer)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(4096):
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with closing(listener):
        yield BrokerAddress("127.0.0.1", listener.getsockname()[1], tls=False)
        thread.join(20)
        assert not thread.is_alive(), "not all scripted answers were asked for"


@pytest.mark.parametrize(
    "refusal", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""], ids=["code 1", "code 0x84", "closed"]
)
def test_mqtt5_refused_falls_to_311_with_one_link_up(refusal: bytes) -> None:
    with scripted_broker(refusal, b"\x20\x02\x00\x00") as address:
        owner = LinkOwner(address)
        assert owner.wait_for(LinkUp)[0].capabilities.version == 4
        owner.wait_for(LinkDown)
        assert [type(event) for event in owner.events] == [LinkUp, LinkDown]
        owner.close()


def test_both_versions_refused_gives_one_link_down() -> None:
    with scripted_broker(b"\x20\x02\x00\x01", b"\x20\x02\x00\x01") as address:
        owner = LinkOwner(address)
        owner.wait_for(LinkDown)
        owner.close()
        assert len(owner.events) == 1


def test_busy_broker_gives_link_down_that_is_not_refused() -> None:
    with scripted_broker(b"\x20\x03\x00\x89\x00") as address:
        owner = LinkOwner(address)
        assert not owner.wait_for(LinkDown)[0].refused
        owner.close()


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\xff\xff\xff\xff\xff"])
def test_garbage_instead_of_connack_ends_in_one_link_down(garbage: bytes) -> None:
    with scripted_broker(garbage, garbage) as address:
        owner = LinkOwner(address)
        owner.wait_for(LinkDown)
        owner.close()
        assert len(owner.events) == 1


def test_connack_with_malformed_properties_ends_in_one_link_down() -> None:
    malformed = b"\x20\x05\x00\x00\x02\x99\x01"
    with scripted_broker(malformed, malformed) as address:
        owner = LinkOwner(address)
        assert not owner.wait_for(LinkDown)[0].refused
        owner.close()
        assert len(owner.events) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"\x30\x02\x00\xff", b"\x30\x00", b"\x90\x01\x00", b"\x40\x01\x00", b"\x00\x00", b"\x30\xff\xff\xff\xff\xff"],
)
def test_garbage_after_connack_ends_in_one_link_down_last(garbage: bytes) -> None:
    with scripted_broker(b"\x20\x03\x00\x00\x00" + garbage) as address:
        owner = LinkOwner(address)
        owner.wait_for(LinkDown)
        owner.close()
        assert [type(event) for event in owner.events] == [LinkUp, LinkDown]


def test_message_with_malformed_topic_is_dropped_and_counted() -> None:
    connack = b"\x20\x02\x00\x00"
    with scripted_broker(connack + b"\x30\x04\x00\x01\xffx" + b"\x30\x04\x00\x01ty") as address:
        owner = LinkOwner(address, version=4)
        assert owner.wait_for(Delivered) == [Delivered("t", b"y", retain=False)]
        assert owner.link.dropped_messages == 1
        owner.wait_for(LinkDown)
        owner.close()
