"""The floor of the journeys: bare paho clients through the same broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from hcom_replica.transport.url import BrokerAddress

_TOPIC: Final = "floor/x"
_WAIT_S: Final = 30.0
_AHEAD: Final = 500


class RawMqtt:
    """A publisher and a subscriber, both QoS 1, as bare as paho is.

    Attributes:
        arrived: when each message arrived.
    """

    def __init__(self, broker: BrokerAddress) -> None:
        self.arrived: list[float] = []
        self._more = threading.Condition()
        self._publisher, self._subscriber = _client(broker), _client(broker)
        self._subscriber.on_message = self._on_message
        ready = threading.Event()
        self._subscriber.on_subscribe = lambda *_: ready.set()
        self._subscriber.subscribe(_TOPIC, qos=1)
        assert ready.wait(_WAIT_S), "the broker does not answer"

    def carry(self, messages: Sequence[bytes]) -> float:
        """Seconds until all messages have come out at the other end."""
        begin, before = time.perf_counter(), len(self.arrived)
        for number, message in enumerate(messages):
            if number >= _AHEAD:  # brokers drop what they cannot queue
                self._await(before + number - _AHEAD)
            self._publisher.publish(_TOPIC, message, qos=1)
        self._await(before + len(messages))
        return self.arrived[-1] - begin

    def one(self, message: bytes) -> None:
        """Carry one message; returns when it has come out at the other end."""
        number = len(self.arrived) + 1
        self._publisher.publish(_TOPIC, message, qos=1)
        self._await(number)

    def close(self) -> None:
        """Disconnect both."""
        for client in (self._publisher, self._subscriber):
            client.disconnect()
            client.loop_stop()

    def _await(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.arrived) >= count, _WAIT_S), "messages were lost"

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:  # noqa: ARG002 - paho's shape
        with self._more:
            self.arrived.append(time.perf_counter())
            self._more.notify()


@contextmanager
def raw_mqtt(broker: BrokerAddress) -> Iterator[RawMqtt]:
    """Open a RawMqtt for a while."""
    raw = RawMqtt(broker)
    try:
        yield raw
    finally:
        raw.close()


def _client(broker: BrokerAddress) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert connected.wait(_WAIT_S), "the broker does not answer"
    return client
