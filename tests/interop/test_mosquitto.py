"""The gateway on a real broker instead of our endpoint: hcom takes the same from it."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from hcom_replica.bridge.endpoint import Endpoint
from hcom_replica.bridge.relay_config import with_relay
from hcom_replica.bridge.token import key_text
from hcom_replica.core.effects import Now
from hcom_replica.folder.config import HCOM_ALLOWED
from hcom_replica.testing.real.brokers import MosquittoBroker, mosquitto_path
from hcom_replica.wire.event import Draft
from tests.harness.hcom import RealHcom, hcom_path
from tests.unit.bridge.hcoms import KEY, RELAY, Bridged, FakeNetwork
from tests.unit.store.devices import Device, send

pytestmark = [pytest.mark.hcom, pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(120)]


class ThroughBroker(Endpoint):
    """Publishes to a broker what the gateway retains."""

    def __init__(self, port: int) -> None:
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def retain(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1, retain=True)

    def listeners(self) -> int:
        return 1

    def packet_bytes_max(self) -> int | None:
        return 1 << 20

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class OnBroker(Bridged):
    """A device with the real hcom, and a broker between them."""

    def __init__(self, hcom: RealHcom, device: Device, wire: ThroughBroker) -> None:
        self.hcom: Any = SimpleNamespace(path=hcom.folder / "hcom.db", short=hcom.short)
        self.device = device
        self.network = FakeNetwork(device)
        self.wire: Any = wire
        self.traces = []
        self.allowed = HCOM_ALLOWED
        self.done = []
        self.now = Now(time.time_ns() // 1_000_000, 0)
        self._random = random.Random(1)
        self.boot()


def test_real_hcom_takes_the_same_from_mosquitto(tmp_path: Path) -> None:
    """B3.1, B4.4"""
    program = hcom_path()
    if program is None or mosquitto_path() is None:
        pytest.skip("hcom or mosquitto is not installed")
    hcom = RealHcom(tmp_path / "home", program)
    hcom.start("luna")
    with MosquittoBroker(tmp_path / "broker") as broker:
        config = hcom.folder / "config.toml"
        relay = {"url": broker.url, "id": RELAY, "token": "", "enabled": True, "psk": key_text(KEY)}
        config.write_text(with_relay(config.read_text(), relay))
        hcom.ok("relay", "daemon", "start")
        hcom.wait(lambda: bool(hcom.query("SELECT 1 FROM kv WHERE key LIKE 'relay_uuid_short_%'")), "hcom's letters")
        device, other = Device("BOXE"), Device("TUKA")
        bodies = [{"from": "rose", "scope": "broadcast", "text": f"message {number}"} for number in range(250)]
        now_ms = time.time_ns() // 1_000_000
        other.log.append([Draft("message", "rose", None, json.dumps(body).encode()) for body in bodies], now_ms)
        send(other, device)
        wire = ThroughBroker(broker.port)
        try:
            bridged = OnBroker(hcom, device, wire)

            def all_in() -> bool:
                bridged.step(20)
                return hcom.count_imported() == 250

            hcom.wait(all_in, lambda: f"250 messages; {hcom.count_imported()}")
            assert hcom.imported("TUKA") == [body["text"] for body in bodies]
        finally:
            wire.close()
            hcom.stop()
