"""Machines that run only hcom, their broker, and devices of ours that have joined them, in memory."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.envelope import seal, unseal
from hcom_replica.bridge.foreigners import Foreigners
from hcom_replica.bridge.legacy.carrying import Carrying
from hcom_replica.bridge.legacy.settings import LegacySettings
from hcom_replica.core.effects import Now, Trace
from hcom_replica.errors import ProtocolError
from hcom_replica.wire.event import Draft, decode_event
from hcom_replica.wire.signing import device_id
from tests.unit.bridge.hcoms import KEY, RELAY, FakeHcom, FakeNetwork
from tests.unit.store.devices import GROUP, NOW, Device, send

SETTINGS = LegacySettings(RELAY, KEY.hex(), "mqtt://127.0.0.1:1883")
LOCAL = "instance NOT LIKE '%:%' AND type NOT IN ('control', 'rpc_result') AND json_extract(data, '$._relay') IS NULL"


class Hub:
    """The broker of the peers: what is retained, and who listens."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.listeners: list[Any] = []
        self.published: list[str] = []

    def publish(self, sender: Any, topic: str, payload: bytes, *, retain: bool) -> None:
        self.published.append(topic)
        if retain:
            self.kept[topic] = payload
        for listener in list(self.listeners):
            if listener is not sender:
                listener.take(topic, payload)


class Only(FakeHcom):
    """A machine that runs only hcom: it publishes what its agents write, and answers requests as hcom does."""

    def __init__(self, folder: Path, short: str, hub: Hub, clock_off_s: int = 0) -> None:
        super().__init__(folder, short)
        self.uuid = f"{short.lower().encode().hex():0>8}-0000-4000-8000-000000000000"
        self.hub = hub
        self.off_s = clock_off_s
        self.reset_ts = 0.0
        self.sent = 0
        self.asked = 0
        self.deaf = False
        self._nonce = 0
        self.capped = 1 << 30
        hub.listeners.append(self)

    def take(self, topic: str, payload: bytes) -> None:
        if self.deaf:
            return
        if topic.endswith("/control"):
            with suppress(ProtocolError):
                self._control(topic, payload)
            return
        with suppress(ProtocolError, KeyError, TypeError, AttributeError):  # what is malformed is dropped
            if json.loads(unseal(KEY, topic, payload).plain)["state"] is not None:
                super().take(topic, payload)
            else:
                self.db.execute("DELETE FROM instances WHERE origin_device_id = ?", (topic.rpartition("/")[2],))

    def push(self, now: Now, **state: Any) -> None:
        """Publish the tail and what is new, a hundred at a time."""
        while True:
            found = self.db.execute(
                f"SELECT id, timestamp, type, instance, data FROM events WHERE id > ? AND instance NOT LIKE '%:%'"
                f" AND (type = 'rpc_result' OR {LOCAL}) ORDER BY id LIMIT 100",
                (self.sent - 50,),
            ).fetchall()
            events = [
                {"id": number, "ts": ts, "type": kind, "instance": instance, "data": json.loads(data)}
                for number, ts, kind, instance, data in found
            ]
            names = self.db.execute("SELECT name, status FROM instances WHERE name NOT LIKE '%:%'").fetchall()
            said = {
                "short_id": self.short,
                "reset_ts": self.reset_ts,
                "instances": {name: {"status": status, "detail": "", "tool": "adhoc"} for name, status in names},
                **state,
            }
            self.publish({"state": said, "events": events}, now)
            newest = max((event["id"] for event in events), default=self.sent)
            if newest <= self.sent:
                return
            self.sent = newest

    def publish(self, said: Any, now: Now, uuid: str | None = None) -> None:
        topic = f"{RELAY}/{uuid or self.uuid}"
        self._nonce += 1
        ts_s = now.wall_ms // 1_000 + self.off_s
        self.hub.publish(
            self, topic, seal(KEY, topic, ts_s, json.dumps(said).encode(), self._nonce.to_bytes(24)), retain=True
        )

    def _control(self, topic: str, payload: bytes) -> None:
        opened = unseal(KEY, topic, payload)
        for event in json.loads(opened.plain)["events"]:
            data = event["data"]
            if data["target_device"] != self.short or abs(opened.ts_s - (NOW // 1_000 + self.off_s)) > 3_600:
                continue
            self.asked += 1
            params = data["params"]
            rows = self.db.execute(
                f"SELECT id, timestamp, type, instance, data FROM events WHERE {params['sql']}"
                f" ORDER BY id DESC LIMIT {params['last']}"
            ).fetchall()
            events = [
                {"id": number, "ts": ts, "type": kind, "instance": instance, "data": json.loads(text)}
                for number, ts, kind, instance, text in rows
            ]
            result = {"events": events[: self.capped], **({"truncated": True} if len(events) > self.capped else {})}
            self.row("rpc_result", "_rpc", {"request_id": data["request_id"], "ok": True, "result": result})

    def ours(self) -> list[str]:
        """Texts of what our devices have written, in the order of its rows."""
        peers = ("memo:MEMO", "sora:SORA")
        return [row["text"] for row in self.rows() if row["type"] == "message" and row["instance"] not in peers]

    def newer(self) -> None:
        """`hcom reset`: another database, ids from 1."""
        self.reset()
        self.sent = 0


class Gate:
    """A device of ours that has joined."""

    def __init__(self, device: Device, hub: Hub) -> None:
        self.hub = hub
        self.network = FakeNetwork(device)
        self.now = Now(NOW, 0)
        self.traces: list[Trace] = []
        self.up = False
        self.device = device
        self.boot()

    def boot(self, device: Device | None = None) -> None:
        """The daemon begins, perhaps on another copy of the folder, and connects."""
        self.device = device or self.device
        self.network.device = self.device
        own = device_id(self.device.writer.device.public)
        self.foreigners = Foreigners(self.device.log)
        self.directory = Directory(self.device.log, own, self.device.name, self.foreigners)
        self.carrying = Carrying(
            SETTINGS,
            self.device.log,
            self.directory,
            GROUP,
            random.Random(self.device.name).randbytes,
            self.traces.append,
        )
        self.connect()

    def connect(self) -> None:
        self.up = True
        if self not in self.hub.listeners:
            self.hub.listeners.append(self)
        self.carrying.connected(self.now)
        for topic, payload in list(self.hub.kept.items()):
            self.carrying.received(topic, payload, self.now, live=False)

    def cut(self) -> None:
        """The connection, or the daemon, ends."""
        self.up = False
        if self in self.hub.listeners:
            self.hub.listeners.remove(self)
        self.carrying.disconnected()

    def take(self, topic: str, payload: bytes) -> None:
        self.carrying.received(topic, payload, self.now, live=True)

    def step(self, ms: int = 300) -> bool:
        self.now = Now(self.now.wall_ms + ms, self.now.mono_ms + ms)
        if not self.up:
            return False
        found, more = self.carrying.poll(self.now, self.network)
        self.give(found)
        return more or bool(found)

    def give(self, found: list[Any]) -> None:
        for one in found:
            self.hub.publish(self, one.topic, one.payload, retain=bool(one.token))
            self.carrying.published(one.token)

    def write(self, *texts: str, **more: Any) -> None:
        """An agent of this device writes."""
        bodies = [{"from": "luna", "scope": "broadcast", "text": text, **more} for text in texts]
        self.device.log.append(
            [Draft("message", "luna", None, json.dumps(body).encode()) for body in bodies], self.now.wall_ms
        )

    def logged(self, agent: str = "memo:MEMO") -> list[str]:
        """Texts of a peer's messages in this device's log, in the order of arrival."""
        found = [decode_event(row.event.record) for row in self.device.log.arrivals(0, 100_000)]
        return [json.loads(event.body)["text"] for event in found if event.kind == "message" and event.agent == agent]


class World:
    """A carrier, and two machines that run only hcom."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub()
        self.memo, self.sora = Only(folder / "memo", "MEMO", self.hub), Only(folder / "sora", "SORA", self.hub)
        self.memo.start("memo")
        self.sora.start("sora")
        self.boxe = Gate(Device("BOXE"), self.hub)
        self.gates = [self.boxe]
        self.pushing = [self.memo, self.sora]

    def add(self, name: str) -> Gate:
        """Another device of ours that has joined, too."""
        made = Gate(Device(name), self.hub)
        made.now = self.boxe.now
        self.gates.append(made)
        return made

    def run(self, rounds: int = 12, ms: int = 300) -> None:
        """Let everybody do what is due; our devices sync."""
        for _ in range(rounds):
            for gate in self.gates:
                for _ in range(200):
                    if not gate.step(ms if _ == 0 else 0):
                        break
            for one in self.pushing:
                one.push(self.boxe.now)
            for gate in self.gates:
                for other in self.gates:
                    if other is not gate:
                        send(gate.device, other.device, now_ms=gate.now.wall_ms)

    def later(self, ms: int) -> None:
        """Time passes everywhere."""
        for gate in self.gates:
            gate.now = Now(gate.now.wall_ms + ms, gate.now.mono_ms + ms)
