"""The embedded broker: in a thread, in a process, over restarts, and against clients that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcom_replica.errors import BrokerError
from hcom_replica.ports import Delivered, LinkDown, LinkUp, Published, Will
from hcom_replica.testing.real.brokers import EmbeddedTestBroker
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.transport.broker import EmbeddedBroker
from tests.harness.links import LinkOwner


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


def test_start_on_port_0_serves_mqtt311_on_loopback(embedded: EmbeddedBroker) -> None:
    assert embedded.address.host == "127.0.0.1"
    assert embedded.address.port > 0
    with LinkOwner(embedded.address, connect_timeout_s=60) as owner:
        assert owner.of(LinkUp)[0].capabilities.version == 4


def test_start_on_taken_port_raises_with_hint(embedded: EmbeddedBroker) -> None:
    second = EmbeddedBroker(port=embedded.address.port)
    with pytest.raises(BrokerError) as caught:
        second.start()
    assert "--port" in caught.value.hint
    second.stop()


def test_address_before_start_raises() -> None:
    with pytest.raises(BrokerError):
        _ = EmbeddedBroker().address


def test_stop_ends_connections_and_thread() -> None:
    broker = EmbeddedBroker().start()
    owner = LinkOwner(broker.address).up()
    broker.stop()
    owner.wait_for(LinkDown)
    owner.close()
    assert "hcom-replica-broker" not in {thread.name for thread in threading.enumerate()}
    broker.stop()


def test_retained_messages_reach_wildcard_subscription(embedded: EmbeddedBroker) -> None:
    with LinkOwner(embedded.address) as owner, LinkOwner(embedded.address) as late:
        for n in range(40):
            owner.published(f"mail/w/{n}", bytes([n]) * 61_440, retain=True)
        owner.published("mail/w/39", b"", retain=True)
        late.subscribed("mail/+/+")
        got = late.wait_for(Delivered, count=39)
        assert {message.topic for message in got} == {f"mail/w/{n}" for n in range(39)}
        assert all(message.retain for message in got)


def test_many_large_messages_all_arrive(embedded: EmbeddedBroker) -> None:
    with LinkOwner(embedded.address) as writer, LinkOwner(embedded.address) as reader:
        reader.subscribed("a")
        for n in range(200):
            writer.link.publish("a", bytes([n]) * 61_440, retain=False, token=n)
        writer.wait_for(Published, count=200)
        reader.wait_for(Delivered, count=200)
        assert {payload[0] for payload in reader.payloads("a")} == set(range(200))


def test_connection_cut_publishes_will(embedded: EmbeddedBroker) -> None:
    with ChaosProxy(embedded.address.port) as proxy, LinkOwner(embedded.address) as watcher:
        watcher.subscribed("presence")
        owner = LinkOwner(proxy.address, will=Will("presence", b"gone")).up()
        proxy.cut()
        watcher.wait_for(Delivered)
        owner.wait_for(LinkDown)
        owner.close()


@pytest.mark.slow
def test_half_open_connection_publishes_will_after_keepalive(embedded: EmbeddedBroker) -> None:
    with ChaosProxy(embedded.address.port) as proxy, LinkOwner(embedded.address) as watcher:
        watcher.subscribed("presence")
        owner = LinkOwner(proxy.address, will=Will("presence", b"gone"), keepalive_s=1).up()
        proxy.black_hole()
        watcher.wait_for(Delivered)
        owner.wait_for(LinkDown)
        owner.close()


@pytest.mark.slow
def test_idle_connection_with_keepalive_stays_up(embedded: EmbeddedBroker) -> None:
    with ChaosProxy(embedded.address.port) as proxy, LinkOwner(proxy.address, keepalive_s=1) as owner:
        before = proxy.bytes_down
        wait_until(lambda: proxy.bytes_down >= before + 3 * 2, 20, "three pings were answered")
        assert owner.of(LinkDown) == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x10\xff\xff\xff\xff\xff",
        b"\x10\x0c\x00\x09MQTTMQTTMQ",
        b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x04\x02\x00\x00",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\x30\xff\xff\xff\x7f",
    ],
)
def test_garbage_from_client_leaves_others_served(embedded: EmbeddedBroker, garbage: bytes) -> None:
    with LinkOwner(embedded.address) as owner:
        owner.subscribed("a")
        with socket.create_connection((embedded.address.host, embedded.address.port)) as bad:
            bad.sendall(garbage)
            bad.shutdown(socket.SHUT_WR)
            bad.settimeout(20)
            while bad.recv(4096):
                pass
        owner.published("a", b"x")
        owner.wait_for(Delivered)


def test_data_dir_keeps_retained_messages_over_restart(tmp_path: Path) -> None:
    with EmbeddedBroker(data_dir=tmp_path / "data") as first, LinkOwner(first.address) as owner:
        owner.published("a", b"\x00kept", retain=True)
        owner.published("b", b"cleared", retain=True)
        owner.published("b", b"", retain=True)
    with EmbeddedBroker(data_dir=tmp_path / "data") as second, LinkOwner(second.address) as owner:
        owner.subscribed("+")
        owner.wait_for(Delivered)
        owner.published("fence", b"x")
        owner.wait_for(Delivered, lambda message: message.topic == "fence")
        assert [(m.topic, m.payload) for m in owner.of(Delivered)] == [("a", b"\x00kept"), ("fence", b"x")]
    assert (tmp_path / "data" / "retained.msgpack").stat().st_mode & 0o777 == 0o600


def test_damaged_data_file_raises_and_is_left(tmp_path: Path) -> None:
    (tmp_path / "retained.msgpack").write_bytes(b"\xc1damaged")
    with pytest.raises(BrokerError) as caught:
        EmbeddedBroker(data_dir=tmp_path).start()
    assert "delete it" in caught.value.hint
    assert (tmp_path / "retained.msgpack").read_bytes() == b"\xc1damaged"


def test_serve_in_process_restarts_with_and_without_memory(tmp_path: Path) -> None:
    with EmbeddedTestBroker(tmp_path) as broker:
        with LinkOwner(broker.address) as owner:
            owner.published("a", b"kept", retain=True)
        broker.restart()
        with LinkOwner(broker.address) as owner:
            owner.subscribed("a")
            owner.wait_for(Delivered)
        broker.restart(forget=True)
        with LinkOwner(broker.address) as owner:
            owner.subscribed("a")
            owner.published("a", b"fence")
            owner.wait_for(Delivered)
            assert owner.payloads("a") == [b"fence"]
        assert broker.log == ""
