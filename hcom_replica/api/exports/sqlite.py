"""Export into an SQLite database: table `events`; how far it has come is in the same transaction as the events."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hcom_replica.api.body import disarmed, is_json_line
from hcom_replica.api.event import Event
from hcom_replica.api.exports.place import AGAIN, Place, decoded, encoded
from hcom_replica.api.output import check_free, unwritable
from hcom_replica.errors import OutputError, UsageError
from hcom_replica.folder.paths import FILE_MODE

_SCHEMA: Final = """
CREATE TABLE export_place (place TEXT NOT NULL);
CREATE TABLE events (
    id TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    device TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hlc INTEGER,
    order_key TEXT NOT NULL,
    time TEXT,
    kind TEXT NOT NULL,
    agent TEXT,
    name TEXT,
    data TEXT,
    data_raw BLOB,
    redacted INTEGER NOT NULL,
    arrival INTEGER NOT NULL,
    received_at TEXT,
    late INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_order ON events (order_key);
CREATE INDEX events_kind ON events (kind, order_key);
CREATE INDEX events_name ON events (name, order_key);
CREATE INDEX events_time ON events (time);
"""
_INSERT: Final = f"INSERT OR REPLACE INTO events VALUES ({', '.join('?' * 16)})"  # noqa: S608 - nothing from outside
_REDACT: Final = "UPDATE events SET data = NULL, data_raw = NULL, redacted = 1 WHERE id = ?"
_HLC_MAX: Final = (1 << 63) - 1
_BUSY_S: Final = 5.0


class SqliteTarget:
    """An SQLite database.

    Args:
        path: of the file.
        force: begin anew whatever file is there.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        self._path = path
        self._force = force
        self._db: sqlite3.Connection | None = None

    def place(self, fresh: Place) -> Place:
        """How far it has come."""
        if self._path.exists() or self._force:
            check_free(self._path, force=True)
        with self._translated():
            if self._force:
                for suffix in ("", "-journal", "-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            self._db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
            return self._held(self._db, fresh)

    def _held(self, db: sqlite3.Connection, fresh: Place) -> Place:
        with _transaction(db):
            tables = {str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if "export_place" in tables:
                return decoded(db.execute("SELECT place FROM export_place").fetchone()[0])
            if tables:
                raise UsageError(f"{self._path} is a database of something else", hint=AGAIN)
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute("INSERT INTO export_place VALUES (?)", (encoded(fresh),))
            return fresh

    def take(self, events: list[Event], place: Place) -> None:
        """Add rows and move the place, in one transaction."""
        with self._translated(), _transaction(self._open()) as db:
            db.executemany(_INSERT, map(_row, events))
            db.execute("UPDATE export_place SET place = ?", (encoded(place),))

    def redact(self, names: list[str]) -> bool:
        """Take bodies away, from the file, too."""
        with self._translated(), _transaction(self._open()) as db:
            db.executemany(_REDACT, ((name,) for name in names))
        return True

    def close(self) -> None:
        """Close the database."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open(self) -> sqlite3.Connection:
        assert self._db is not None, "place() comes first"  # noqa: S101 - for the type checker
        return self._db

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error):
                raise UsageError(f"{self._path} is no database", hint=AGAIN) from None
            raise OutputError(f"cannot write {self._path}: {error}") from None
        except OSError as error:
            raise unwritable(self._path, error) from None


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _row(event: Event) -> tuple[object, ...]:
    arrival, shown = event.arrival, is_json_line(event.body)
    return (
        str(event.id),
        event.origin,
        event.device,
        event.seq,
        event.hlc if event.hlc <= _HLC_MAX else None,
        event.order,
        event.time,
        event.kind,
        event.agent,
        event.name,
        disarmed(event.body).decode() if shown else None,
        None if shown or event.redacted else event.body,
        int(event.redacted),
        0 if arrival is None else arrival.number,
        None if arrival is None else arrival.fields["received_at"],
        int(arrival is not None and arrival.late),
    )
