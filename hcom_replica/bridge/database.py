"""hcom's database, read-only (hcom-bridge-v1 section 2). The only importer of sqlite3.

Owns what is known of its tables. It never writes, never waits for a lock, and turns whatever sqlite3 raises into a
BridgeError; the next look may succeed. Rows come back as they are, malformed ones too.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from hcom_replica.errors import BridgeError

KNOWN_VERSIONS: Final = range(18, 21)
"""`user_version` of the databases that were tried: hcom 0.7.24 to 0.7.31."""

OLDEST: Final = 18

_NEEDED: Final = {
    "events": {"id", "timestamp", "type", "instance", "data"},
    "instances": {"name", "origin_device_id", "status", "created_at"},
    "kv": {"key", "value"},
}
_OWN_ROWS: Final = """
SELECT id, CAST(timestamp AS TEXT), CAST(type AS TEXT), CAST(instance AS TEXT), CAST(data AS TEXT) FROM events
WHERE id > ? AND type NOT IN ('control', 'rpc_result') AND instance NOT LIKE '%:%' AND instance != '_device'
  AND CASE WHEN json_valid(data) THEN json_extract(data, '$._relay') IS NULL
    AND NOT (type = 'life' AND coalesce(json_extract(data, '$.action'), '') IN
      ('relay_device_join', 'relay_device_leave')) ELSE 1 END
ORDER BY id LIMIT ?"""
_ROW: Final = """
SELECT id, CAST(timestamp AS TEXT), CAST(type AS TEXT), CAST(instance AS TEXT), CAST(data AS TEXT) FROM events
WHERE id = ?"""
_AGENT: Final = {
    "status": "status",
    "context": "status_context",
    "detail": "status_detail",
    "status_time": "status_time",
    "parent": "parent_name",
    "directory": "directory",
    "transcript": "transcript_path",
    "wait_timeout": "wait_timeout",
    "last_stop": "last_stop",
    "tcp_mode": "tcp_mode",
    "tag": "tag",
    "tool": "tool",
    "background": "background",
    "created_at": "created_at",
}
"""Fields of an agent, as snapshots call them, and their columns."""


class Row(NamedTuple):
    """A row of `events`, as text."""

    id: int
    timestamp: str
    type: str
    instance: str
    data: str

    @property
    def hash(self) -> bytes:
        """Eight bytes that tell it from any other row of that id."""
        text = f"{self.timestamp}\0{self.type}\0{self.instance}\0{self.data}"
        return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest()


class HcomDatabase:
    """An open database. A context manager.

    Args:
        path: of hcom.db.

    Attributes:
        version: its `user_version`.

    Raises:
        BridgeError: it is missing, unreadable, too old, or its columns are not those that are needed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = file_identity(path)
        try:
            self._db = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, timeout=0, isolation_level=None, check_same_thread=False
            )
            self._db.text_factory = lambda data: data.decode("utf-8", "replace")
        except sqlite3.Error as error:
            raise _translated(path, error) from None
        try:
            self.version = int(self._one("PRAGMA user_version"))
            self._check_columns()
        except BaseException:
            self.close()
            raise

    # --- events --------------------------------------------------------------------------------------------

    def own_rows(self, after: int, limit: int) -> tuple[list[Row], int]:
        """Read the rows that agents of this device have written, in order.

        Returns:
            Up to `limit` rows with an id above `after`, and the id up to which all rows have been looked at.
        """
        try:
            self._db.execute("BEGIN")
            try:
                newest = self._one("SELECT max(id) FROM events") or 0
                rows = [_row(found) for found in self._db.execute(_OWN_ROWS, (after, limit))]
            finally:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _translated(self.path, error) from None
        return rows, rows[-1].id if len(rows) == limit else max(newest, after)

    def row(self, number: int) -> Row | None:
        """Read one row."""
        found = self._all(_ROW, number)
        return _row(found[0]) if found else None

    def newest(self) -> int:
        """The largest id; 0 when there is no row."""
        return int(self._one("SELECT max(id) FROM events") or 0)

    def handed(self, device: str, after: int, limit: int) -> list[tuple[int, str]]:
        """(number, our event's id) of what was imported from a device behind a number, ascending."""
        return [
            (int(number), str(name))
            for number, name in self._all(
                "SELECT json_extract(data, '$._relay.id'), json_extract(data, '$._replica.id') FROM events"
                " WHERE json_valid(data) AND json_extract(data, '$._relay.device') = ?"
                " AND json_extract(data, '$._relay.id') > ?"
                " AND typeof(json_extract(data, '$._replica.id')) = 'text' ORDER BY 1 LIMIT ?",
                device,
                after,
                limit,
            )
        ]

    def results(self, after: int) -> list[tuple[int, str, dict[str, Any]]]:
        """(row, id of the request, data) of what hcom answered to remote requests, behind a row."""
        found = self._all(
            "SELECT id, json_extract(data, '$.request_id'), data FROM events WHERE id > ? AND type = 'rpc_result'"
            " AND json_valid(data) AND json_extract(data, '$._relay') IS NULL ORDER BY id",
            after,
        )
        return [(int(row), str(request), json.loads(data)) for row, request, data in found if isinstance(request, str)]

    def replica_ids(self) -> set[str]:
        """Our ids of all events that are in it."""
        rows = self._all("SELECT json_extract(data, '$._replica.id') FROM events WHERE json_valid(data)")
        return {name for (name,) in rows if isinstance(name, str)}

    def newest_relayed(self, device: str) -> str:
        """Timestamp of the newest row that was imported from a device; empty when there is none."""
        found = self._all(
            "SELECT max(CAST(timestamp AS TEXT)) FROM events"
            " WHERE json_valid(data) AND json_extract(data, '$._relay.device') = ?",
            device,
        )
        return found[0][0] or ""

    def has_relayed(self, device: str, timestamp: str) -> bool:
        """Whether a row of that time was imported from a device."""
        return bool(
            self._all(
                "SELECT 1 FROM events WHERE timestamp = ? AND json_valid(data)"
                " AND json_extract(data, '$._relay.device') = ? LIMIT 1",
                timestamp,
                device,
            )
        )

    # --- the rest ------------------------------------------------------------------------------------------

    def data_version(self) -> int:
        """A number that changes when anybody has written."""
        return int(self._one("PRAGMA data_version"))

    def agents(self) -> dict[str, dict[str, Any]]:
        """The agents of this device by name, each as in a snapshot; what this version of hcom lacks is None."""
        columns = self._columns["instances"]
        listed = ", ".join(column if column in columns else "NULL" for column in _AGENT.values())
        rows = self._all(f"SELECT name, {listed} FROM instances WHERE coalesce(origin_device_id, '') = ''")  # noqa: S608
        return {
            str(name): dict(zip(_AGENT, values, strict=True))
            for name, *values in rows
            if isinstance(name, str) and not name.startswith(("_", "sys_")) and ":" not in name
        }

    def kv(self, key: str) -> str | None:
        """A value of hcom's `kv`."""
        found = self._all("SELECT CAST(value AS TEXT) FROM kv WHERE key = ?", key)
        return found[0][0] if found else None

    def kv_number(self, key: str) -> int | None:
        """A value of hcom's `kv` as a whole number; None when it is none."""
        value = self.kv(key)
        with suppress(ValueError):
            return None if value is None else int(float(value))
        return None

    def reset_s(self) -> float:
        """When hcom was reset, seconds since 1970: what is older, its importer drops; 0 when it never was."""
        told = self.kv("relay_local_reset_ts")
        with suppress(ValueError, TypeError):
            if told and float(told) > 0:
                return float(told)
        found = self._all(
            "SELECT strftime('%s', timestamp) FROM events WHERE type = 'life' AND instance = '_device'"
            " AND json_valid(data) AND json_extract(data, '$.action') = 'reset'"
            " AND json_extract(data, '$._relay') IS NULL"
            " ORDER BY id DESC LIMIT 1"
        )
        return float(found[0][0] or 0) if found else 0.0

    def replaced(self) -> bool:
        """Whether the file is another one by now: `hcom reset`, or a backup put in its place."""
        return file_identity(self.path) != self.identity

    def close(self) -> None:
        """Give it back. Idempotent."""
        with suppress(sqlite3.Error):
            self._db.close()

    def _check_columns(self) -> None:
        self._columns = {table: {str(row[1]) for row in self._all(f"PRAGMA table_info({table})")} for table in _NEEDED}
        if self.version < OLDEST or not all(self._columns.values()):
            raise BridgeError(
                f"{self.path} is of an hcom that is too old (database version {self.version})",
                hint="update hcom: pip install -U hcom",
            )
        lacking = [
            f"{table}.{column}" for table, needed in _NEEDED.items() for column in sorted(needed - self._columns[table])
        ]
        if lacking:
            raise BridgeError(
                f"{self.path} is of an hcom that is not known (database version {self.version}): no {lacking[0]}",
                hint="update hcom-replica",
            )

    def _one(self, sql: str) -> Any:
        found = self._all(sql)
        return found[0][0] if found else None

    def _all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise _translated(self.path, error) from None


def file_identity(path: Path) -> tuple[int, int] | None:
    """(device, inode) of a file; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _row(found: tuple[Any, ...]) -> Row:
    number, *texts = found
    return Row(int(number), *("" if text is None else str(text) for text in texts))


def _translated(path: Path, error: sqlite3.Error) -> BridgeError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return BridgeError(f"{path} is locked", hint="nothing to do: it is looked at again")
    if isinstance(error, sqlite3.OperationalError) and "unable to open" in text:
        return BridgeError(f"{path} cannot be opened", hint="does hcom run here? its folder is HCOM_DIR, else ~/.hcom")
    return BridgeError(f"{path} cannot be read: {text}", hint="hcom status says whether hcom itself can read it")
