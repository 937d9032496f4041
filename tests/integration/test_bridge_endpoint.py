"""The loopback endpoint under a real MQTT 5 client, and under hostile ones (B3.1 to B3.3)."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from hcom_replica.bridge import endpoint as server
from hcom_replica.bridge.endpoint import Endpoint
from hcom_replica.errors import BridgeError
from hcom_replica.testing.real.waiting import wait_until

RELAY = "relay"
PASSWORD = "open sesame"


class Running:
    """An endpoint in a thread of its own, as the daemon's loop would run it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.selector = selectors.DefaultSelector()
        self.endpoint = Endpoint(
            self.selector, 0, RELAY, PASSWORD, lambda topic, data: self.heard.append((topic, data))
        )
        self.clock_ms = 0
        self._todo: list[object] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            for key, events in self.selector.select(0.01):
                key.data(events)
            self.endpoint.poll(self.clock_ms)
            while self._todo:
                self._todo.pop(0)()  # type: ignore[operator]

    def do(self, action: object) -> None:
        """Have something done by the loop, and wait for it."""
        done = threading.Event()
        self._todo += [action, done.set]
        assert done.wait(10)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self.endpoint.close()
        self.selector.close()

    def connect(self) -> socket.socket:
        """A raw connection."""
        return socket.create_connection(("127.0.0.1", self.endpoint.port), timeout=10)


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


class Client:
    """A paho client that has connected, or was refused."""

    def __init__(self, running: Running, password: str = PASSWORD, packet_bytes: int = 0, receive_max: int = 0) -> None:
        self.got: list[tuple[str, bytes, bool]] = []
        self.reason: list[str] = []
        self.gone = threading.Event()
        self.paho = mqtt.Client(CallbackAPIVersion.VERSION2, "worker", protocol=mqtt.MQTTv5)
        self.paho.username_pw_set("hcom", password)
        self.paho.on_connect = lambda _c, _u, _f, reason, _p: self.reason.append(str(reason))
        self.paho.on_message = lambda _c, _u, message: self.got.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self.paho.on_disconnect = lambda *_: self.gone.set()
        properties = Properties(PacketTypes.CONNECT)
        if packet_bytes:
            properties.MaximumPacketSize = packet_bytes
        if receive_max:
            properties.ReceiveMaximum = receive_max
        self.paho.connect("127.0.0.1", running.endpoint.port, keepalive=30, clean_start=True, properties=properties)
        self.paho.loop_start()
        wait_until(lambda: bool(self.reason), 10, "an answer to CONNECT")

    def subscribe(self, *filters: str) -> list[int]:
        """Subscribe; give the reason codes."""
        codes: list[int] = []
        self.paho.on_subscribe = lambda _c, _u, _m, reasons, _p: codes.extend(one.value for one in reasons)
        self.paho.subscribe([(one, SubscribeOptions(qos=1)) for one in filters])
        wait_until(lambda: len(codes) == len(filters), 10, "SUBACK")
        return codes

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()


def test_client_gets_what_is_retained_and_what_comes_and_is_heard(running: Running) -> None:
    """B3.1"""
    running.do(lambda: running.endpoint.retain(f"{RELAY}/dev", b"old"))
    running.do(lambda: running.endpoint.retain(f"{RELAY}/dev", b"kept"))
    client = Client(running, packet_bytes=1 << 20)
    assert client.reason == ["Success"]
    assert client.subscribe(f"{RELAY}/+") == [1]
    wait_until(lambda: client.got == [(f"{RELAY}/dev", b"kept", True)], 10, lambda: f"retained: {client.got}")
    running.do(lambda: running.endpoint.retain(f"{RELAY}/dev", b"x" * 500_000))
    running.do(lambda: running.endpoint.tell(f"{RELAY}/control", b"now"))
    wait_until(lambda: len(client.got) == 3, 10, lambda: f"live: {len(client.got)}")
    assert client.got[1:] == [(f"{RELAY}/dev", b"x" * 500_000, False), (f"{RELAY}/control", b"now", False)]
    client.paho.publish(f"{RELAY}/mine", b"state", qos=1, retain=True).wait_for_publish(10)
    client.paho.publish(f"{RELAY}/control", b"wish", qos=0)
    wait_until(lambda: len(running.heard) == 2, 10, "what the client published")
    assert running.heard == [(f"{RELAY}/mine", b"state"), (f"{RELAY}/control", b"wish")]
    assert len(client.got) == 3, "nothing goes from client to client"
    assert running.endpoint.listeners() == 1
    assert running.endpoint.packet_bytes_max() == 1 << 20
    client.close()
    wait_until(lambda: running.endpoint.listeners() == 0, 10, "the client's end")


def test_client_is_given_no_more_at_once_than_it_takes_and_nothing_larger(running: Running) -> None:
    """B3.3"""
    client = Client(running, packet_bytes=1_000, receive_max=2)
    client.subscribe(f"{RELAY}/+")
    for number in range(50):
        running.do(lambda number=number: running.endpoint.tell(f"{RELAY}/d", str(number).encode()))
    running.do(lambda: running.endpoint.tell(f"{RELAY}/d", b"x" * 2_000))
    running.do(lambda: running.endpoint.tell(f"{RELAY}/d", b"last"))
    wait_until(lambda: len(client.got) == 51, 10, lambda: f"{len(client.got)} messages")
    assert [data for _, data, _ in client.got] == [*(str(number).encode() for number in range(50)), b"last"]
    client.close()


def test_wrong_password_is_refused(running: Running) -> None:
    """B3.2"""
    client = Client(running, password="guess")
    assert client.reason == ["Not authorized"]
    wait_until(lambda: running.endpoint.refused == 1, 10, "its end")
    client.close()


def test_client_gives_way_to_a_new_one_of_its_id(running: Running) -> None:
    """B3.3"""
    first = Client(running)
    first.paho.reconnect_delay_set(60, 60)
    first.subscribe(f"{RELAY}/+")
    second = Client(running)
    assert first.gone.wait(10)
    second.subscribe(f"{RELAY}/+")
    assert running.endpoint.listeners() == 1
    second.close()
    first.close()


def test_topics_of_others_are_refused(running: Running) -> None:
    """B3.1"""
    client = Client(running)
    assert client.subscribe("#", "other/+", f"{RELAY}/a/b", f"{RELAY}/#", f"{RELAY}/x") == [0x87, 0x87, 0x87, 0x87, 1]
    client.paho.publish("other/topic", b"x", qos=1).wait_for_publish(10)
    client.paho.publish(f"{RELAY}/y", b"y", qos=1).wait_for_publish(10)
    wait_until(lambda: bool(running.heard), 10, "the one that is ours")
    assert running.heard == [(f"{RELAY}/y", b"y")]
    client.close()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x10\xff\xff\xff\x7f" + bytes(100),
        b"\x10" + bytes((0xFF, 0x7F)) + bytes(5_000),
        b"\x30\x05\x00\x01a\x00x",
        bytes(64),
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x1e\x00\x00",
    ],
)
def test_stranger_that_speaks_something_else_is_cut_off_and_others_are_served_on(running: Running, data: bytes) -> None:
    """B3.2, B3.3"""
    client = Client(running)
    client.subscribe(f"{RELAY}/+")
    with running.connect() as stranger:
        stranger.sendall(data)
        assert stranger.recv(100) == b""
    running.do(lambda: running.endpoint.tell(f"{RELAY}/d", b"still here"))
    wait_until(lambda: bool(client.got), 10, "a message")
    assert running.endpoint.refused == 1
    client.close()


def test_client_with_too_many_subscriptions_is_cut_off(running: Running) -> None:
    """B3.3"""
    client = Client(running)
    for number in range(server.FILTERS_MAX + 1):
        client.paho.subscribe(f"{RELAY}/{number}")
    assert client.gone.wait(10)
    client.close()


def test_crowd_of_silent_strangers_keeps_nobody_out_and_ends(running: Running) -> None:
    """B3.2"""
    crowd = [running.connect() for _ in range(40)]
    client = Client(running)
    assert client.reason == ["Success"]
    client.subscribe(f"{RELAY}/+")
    running.clock_ms += server.HELLO_MS + 1
    running.do(lambda: None)
    running.clock_ms += server.HELLO_MS + 1
    for stranger in crowd:
        assert stranger.recv(1) == b""
        stranger.close()
    assert running.endpoint.listeners() == 1
    client.close()


def test_client_that_does_not_keep_alive_is_cut_off(running: Running) -> None:
    """B3.3"""
    client = Client(running)
    running.do(lambda: None)
    time.sleep(0.05)  # so that the endpoint has looked once since the client spoke
    running.clock_ms += 46_000
    assert client.gone.wait(10)
    client.close()


def test_client_that_does_not_read_is_cut_off_when_too_much_waits(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B3.3"""
    monkeypatch.setattr(server, "OUTBOX_BYTES_MAX", 3_000_000)
    body = (
        b"\x00\x04MQTT\x05\xc0\x00\x00\x00\x00\x01w\x00\x04hcom" + len(PASSWORD).to_bytes(2, "big") + PASSWORD.encode()
    )
    with running.connect() as deaf:
        deaf.sendall(bytes((0x10, len(body))) + body + b"\x82\x0d\x00\x01\x00\x00\x07relay/+\x01")
        wait_until(lambda: running.endpoint.listeners() == 1, 10, "the subscription")
        for _ in range(200):
            running.do(lambda: running.endpoint.tell(f"{RELAY}/d", bytes(100_000)))
        assert running.endpoint.listeners() == 0
    assert running.endpoint.refused == 1


def test_port_that_is_taken_is_an_error_with_a_hint(running: Running) -> None:
    """B3.1"""
    with pytest.raises(BridgeError, match="cannot be used") as found:
        Endpoint(running.selector, running.endpoint.port, RELAY, PASSWORD, lambda _topic, _data: None)
    assert "--setup" in found.value.hint
