"""An hcom that is none: a database of its form, and an importer that does what hcom's was seen to do.

The real program is tried in tests/interop; here it can be stopped, reset, restored and looked into at any moment.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.endpoint import Endpoint
from hcom_replica.bridge.envelope import seal, unseal
from hcom_replica.bridge.foreigners import Foreigners
from hcom_replica.bridge.gateway import Gateway
from hcom_replica.bridge.handover import Handover
from hcom_replica.bridge.numbering import Numbering
from hcom_replica.bridge.remote import Remote
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.source import Source
from hcom_replica.bridge.wishes import Rules
from hcom_replica.core.effects import Now, Trace
from hcom_replica.folder.config import HCOM_ALLOWED
from hcom_replica.ids import OriginId
from hcom_replica.wire.event import Event, decode_event, is_system
from hcom_replica.wire.signing import device_id
from tests.unit.store.devices import GROUP, NOW, Device

KEY = bytes(range(32))
RELAY = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
SCHEMA = """
CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp TEXT NOT NULL, type TEXT NOT NULL,
  instance TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE instances (name TEXT PRIMARY KEY, tag TEXT, status TEXT DEFAULT 'active', status_time INTEGER DEFAULT 0,
  status_context TEXT, status_detail TEXT, last_stop INTEGER DEFAULT 0, directory TEXT, created_at REAL NOT NULL,
  transcript_path TEXT, tcp_mode INTEGER DEFAULT 0, wait_timeout INTEGER, background INTEGER, parent_name TEXT,
  origin_device_id TEXT DEFAULT '', tool TEXT DEFAULT 'claude');
CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT);
"""
T0 = "2026-11-22T17:39:23.798466+00:00"


class FakeHcom:
    """One HCOM_DIR.

    Attributes:
        short: its own letters.
        wiped: how often it has deleted a device's history.
        dropped: snapshots it did not take, by why.
    """

    def __init__(self, folder: Path, short: str, version: int = 20) -> None:
        self.folder = folder
        self.short = short
        self.uuid = f"{short.lower():0>8}-0000-4000-8000-000000000000"
        self.version = version
        self.wiped = 0
        self.dropped: list[str] = []
        folder.mkdir(exist_ok=True)
        self.make()

    @property
    def path(self) -> Path:
        return self.folder / "hcom.db"

    def make(self) -> None:
        """A new database."""
        self.db = sqlite3.connect(self.path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.executescript(SCHEMA)
        self.db.execute(f"PRAGMA user_version={self.version}")

    def reset(self) -> None:
        """`hcom reset`: another file, ids from 1."""
        self.db.close()
        for path in self.folder.glob("hcom.db*"):
            path.rename(path.with_name("old-" + path.name))
        self.make()

    def backup(self) -> Path:
        """A copy of the database."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(shutil.copy(self.path, self.folder / "backup.db"))

    def restore(self) -> None:
        """The copy in place of the database."""
        self.db.close()
        for path in self.folder.glob("hcom.db*"):
            path.unlink()
        shutil.copy(self.folder / "backup.db", self.path)
        self.db = sqlite3.connect(self.path, isolation_level=None)

    # --- what its agents do --------------------------------------------------------------------------------

    def start(self, agent: str, created: float = 1.0, **columns: Any) -> None:
        """An agent begins."""
        given = {"name": agent, "created_at": created, "status": "listening", **columns}
        names = ", ".join(given)
        marks = ", ".join("?" for _ in given)
        self.db.execute(f"INSERT OR REPLACE INTO instances ({names}) VALUES ({marks})", list(given.values()))

    def stop(self, agent: str) -> None:
        """An agent ends."""
        self.db.execute("DELETE FROM instances WHERE name = ?", (agent,))

    def row(self, kind: str, instance: str, data: Any, timestamp: str = T0) -> int:
        """Write a row."""
        text = data if isinstance(data, str) else json.dumps(data)
        done = self.db.execute(
            "INSERT INTO events (timestamp, type, instance, data) VALUES (?, ?, ?, ?)",
            (timestamp, kind, instance, text),
        )
        assert done.lastrowid is not None
        return done.lastrowid

    def say(self, agent: str, text: str, *mentions: str, **more: Any) -> int:
        """An agent sends a message."""
        to: dict[str, Any] = {"scope": "mentions", "mentions": list(mentions)} if mentions else {"scope": "broadcast"}
        return self.row("message", agent, {"from": agent, "sender_kind": "instance", "text": text, **to, **more})

    def rows(self, of: str = "%:%") -> list[dict[str, Any]]:
        """Rows by instance: the imported ones unless asked otherwise."""
        found = self.db.execute(
            "SELECT id, timestamp, type, instance, data FROM events WHERE instance LIKE ? ORDER BY id", (of,)
        )
        return [
            {"id": number, "ts": ts, "type": kind, "instance": instance, **json.loads(data)}
            for number, ts, kind, instance, data in found
        ]

    def texts(self) -> list[Any]:
        """Texts of the imported messages."""
        return [row.get("text") for row in self.rows() if row["type"] == "message"]

    def inbox(self, agent: str) -> list[str]:
        """Texts of the imported messages that come into an agent's inbox."""
        return [
            row["text"]
            for row in self.rows()
            if row["type"] == "message" and (row["scope"] != "mentions" or agent in row["mentions"])
        ]

    def kv(self, key: str) -> str | None:
        """A value."""
        found = self.db.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def set_kv(self, key: str, value: Any) -> None:
        """Set a value."""
        self.db.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, str(value)))

    def agents_of(self, short: str) -> dict[str, tuple[str, str]]:
        """Agents of another device: name to status and detail."""
        found = self.db.execute("SELECT name, status, status_detail FROM instances WHERE name LIKE ?", (f"%:{short}",))
        return {name: (status, detail) for name, status, detail in found}

    # --- its importer --------------------------------------------------------------------------------------

    def take(self, topic: str, payload: bytes) -> None:
        """Take a snapshot as hcom does."""
        uuid = topic.rpartition("/")[2]
        opened = unseal(KEY, topic, payload)
        if opened.ts_s < int(self.kv(f"relay_state_ts_{uuid}") or 0):
            self.dropped.append("rollback")
            return
        said = json.loads(opened.plain)
        short = said["state"]["short_id"]
        if (self.kv(f"relay_short_{short}") or uuid) != uuid:
            self.dropped.append("collision")
            return
        self.set_kv(f"relay_short_{short}", uuid)
        self.set_kv(f"relay_uuid_short_{uuid}", short)
        self.db.execute("DELETE FROM instances WHERE origin_device_id = ?", (uuid,))
        for name, agent in said["state"]["instances"].items():
            columns = {"status": agent["status"], "status_detail": agent["detail"], "origin_device_id": uuid}
            self.start(f"{name}:{short}", **columns)
        self._import(uuid, short, said["events"])
        self.set_kv(f"relay_state_ts_{uuid}", opened.ts_s)

    def _import(self, uuid: str, short: str, events: list[dict[str, Any]]) -> None:
        cursor = int(self.kv(f"relay_events_{uuid}") or 0)
        if events and max(event["id"] for event in events) < cursor:
            self.db.execute("DELETE FROM events WHERE json_extract(data, '$._relay.device') = ?", (uuid,))
            self.wiped += 1
            cursor = 0
        reset = float(self.kv("relay_local_reset_ts") or 0)
        for event in events:
            if event["id"] <= cursor or (reset and event["ts"] < "2026-11-22T18" and reset > 1_795_370_400):
                continue
            data = event["data"]
            if isinstance(data.get("from"), str) and ":" not in data["from"]:
                data["from"] += f":{short}"
            for field in ("mentions", "delivered_to"):
                if isinstance(data.get(field), list):
                    data[field] = [one.removesuffix(f":{self.short}") for one in data[field]]
            data["_relay"] = {"device": uuid, "id": event["id"], "short": short}
            name = event["instance"]
            self.row(event["type"], f"{name}:{short}" if name and ":" not in name else name, data, event["ts"])
            cursor = event["id"]
            self.set_kv(f"relay_events_{uuid}", cursor)


class FakeNetwork:
    """What is known of others; a test sets it."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.heard = True
        self.missing = False
        self.present: frozenset[OriginId] = frozenset()
        self.heads: dict[OriginId, int] = {}

    def settled(self) -> bool:
        return self.heard

    def behind(self) -> bool:
        return self.missing

    def known(self) -> dict[OriginId, int]:
        return {state.id: state.seq for state in self.device.log.origins()} | self.heads

    def online(self) -> frozenset[OriginId]:
        return self.present


class Wire(Endpoint):
    """An endpoint without a socket: what is published goes to the importer, if hcom's worker runs."""

    def __init__(self, hcom: FakeHcom) -> None:
        self.hcom = hcom
        self.worker = True
        self.packet_bytes = 1 << 20
        self.published: list[tuple[str, bytes]] = []

    def retain(self, topic: str, payload: bytes) -> None:
        assert len(payload) + len(topic) < self.packet_bytes
        self.published.append((topic, payload))
        if self.worker:
            self.hcom.take(topic, payload)

    def listeners(self) -> int:
        return int(self.worker)

    def packet_bytes_max(self) -> int | None:
        return self.packet_bytes


class Bridged:
    """A device with an hcom and a bridge between them.

    Attributes:
        traces: what was worth a line in the log.
    """

    def __init__(self, folder: Path, device: Device, short: str | None = None, version: int = 20) -> None:
        self.hcom = FakeHcom(folder, short or device.name, version)
        self.device = device
        self.network = FakeNetwork(device)
        self.wire = Wire(self.hcom)
        self.traces: list[Trace] = []
        self.allowed: tuple[str, ...] = HCOM_ALLOWED
        self.done: list[dict[str, Any]] = []
        self.now = Now(NOW, 0)
        self._random = random.Random(device.name)
        self.boot()

    def boot(self, device: Device | None = None) -> None:
        """The daemon begins, perhaps on another copy of the folder."""
        self.device = device or self.device
        self.network.device = self.device
        log = self.device.log
        own = device_id(self.device.writer.device.public)
        self.directory, self.numbering, self.roster = (
            Directory(log, own, self.device.name, Foreigners(log)),
            Numbering(log, GROUP),
            Roster(log),
        )
        self.source = Source(log, self.directory, self.hcom.path, self._random.randbytes, self.traces.append)
        rules = Rules(
            KEY,
            RELAY,
            self.allowed,
            self.told,
            lambda: self.wire.worker,
            self._random.randbytes,
            self.traces.append,
        )
        self.remote = Remote(log, self.directory, self.numbering, rules)
        self.handover = Handover(
            log, self.directory, self.numbering, self.roster, self.source, self.remote.wanted_answer
        )
        self.gateway = Gateway(
            log,
            self.directory,
            self.numbering,
            self.roster,
            self.handover,
            self.wire,
            key=KEY,
            relay_id=RELAY,
            entropy=self._random.randbytes,
        )

    def step(self, ms: int = 300) -> bool:
        """One look at both sides, some time later."""
        self.now = Now(self.now.wall_ms + ms, self.now.mono_ms + ms)
        more = self.source.look(self.now, self.network)
        if not self.source.agents.settled() and self.network.settled():
            self.source.agents.settle(self.network.known())
        database = self.source.database
        if database is None:  # replaced: it is opened at the next look
            return True
        more = self.remote.poll(database, self.hcom.short, self.now, self.network) or more
        return self.gateway.poll(database, self.hcom.short, self.now, self.network) or more

    def run(self, until: Callable[[], bool] | None = None, steps: int = 12) -> None:
        """Step until nothing is to be done, or a condition holds."""
        quiet = 0
        for _ in range(1_000):
            quiet = 0 if self.step() or self.handover.busy() else quiet + 1
            if until() if until is not None else quiet > 2:
                return
            if until is None and not self.wire.worker and quiet == 0 and steps == 0:
                return
            steps -= 1
            if not self.wire.worker and steps < 0:
                return
        raise AssertionError("it does not come to rest")

    def told(self, topic: str, payload: bytes) -> None:
        """hcom's worker does what it is told on the control topic, and writes what came of it."""
        opened = unseal(KEY, topic, payload)
        for event in json.loads(opened.plain)["events"]:
            data = event["data"]
            assert (event["type"], event["instance"], data["target_device"]) == ("control", "_control", self.hcom.short)
            self.done.append(data)
            result = {"request_id": data["request_id"], "action": data["action"], "ok": True, "result": {"n": 1}}
            self.hcom.row("rpc_result", "_rpc", result)

    def wish(self, action: str, device: str, request: str = "r1", **params: Any) -> None:
        """A command of hcom asks another device for something."""
        data = {"action": action, "target_device": device, "request_id": request, "params": params}
        control = {"from_device": self.hcom.uuid, "events": [{"ts": 1.0, "type": "control", "data": data}]}
        topic = f"{RELAY}/control"
        self.remote.heard(topic, seal(KEY, topic, 1, json.dumps(control).encode(), self._random.randbytes(24)))

    def results(self) -> list[dict[str, Any]]:
        """What hcom was given of its wishes."""
        found = self.hcom.db.execute("SELECT data FROM events WHERE type = 'rpc_result'")
        return [data for (text,) in found if "_relay" in (data := json.loads(text))]

    def events(self) -> list[Event]:
        """Events of this device that came from hcom's rows, in order."""
        own = [state.id for state in self.device.log.origins() if state.key == self.device.writer.device.public]
        stored = [row for row in self.device.log.events() if row.origin in own]
        return [event for row in stored if not is_system((event := decode_event(row.record)).kind)]

    def logged(self) -> list[str]:
        """Texts of the messages of all devices in the log, in order of arrival."""
        found = [decode_event(row.event.record) for row in self.device.log.arrivals(0, 100_000)]
        return [json.loads(event.body)["text"] for event in found if event.kind == "message"]
