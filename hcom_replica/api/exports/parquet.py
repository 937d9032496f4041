"""Export into a folder of Parquet files, partitioned by day and device: `day=2026-01-31/device=BOXE/*.parquet`.

A page of events becomes several files. They are written under names that no query looks at; then the place, which lists
them, moves; then they are given their names, by whoever opens the folder next if need be.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from hcom_replica.api.body import disarmed, is_json_line
from hcom_replica.api.event import Event
from hcom_replica.api.exports.place import AGAIN, LockedTarget, Place, load, save, tidy
from hcom_replica.api.output import unwritable
from hcom_replica.errors import UsageError
from hcom_replica.folder.paths import FOLDER_MODE

STATE: Final = "_export.json"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_US: Final = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LAST_US: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_PART: Final = ".part"


class ParquetTarget(LockedTarget):
    """A folder of Parquet files.

    Args:
        path: of the folder.
        force: begin anew where an earlier export is.

    Raises:
        UsageError: pyarrow is not installed.
    """

    def __init__(self, path: Path, *, force: bool) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415 - an extra, and slow to load
        except ImportError:
            raise UsageError(
                "Parquet needs the package pyarrow", hint="pip install 'hcom-replica[parquet]', or --format sqlite"
            ) from None
        self._schema = _schema(pa)
        self._path = path
        self._force = force

    def place(self, fresh: Place) -> Place:
        """How far it has come; what a killed export left is finished or cleared first."""
        with self._translated():
            if self._path.exists() and not self._path.is_dir():
                raise UsageError(f"{self._path} exists already, and is no folder", hint="name a folder")
            held = load(self._path / STATE)
            if held is None and self._path.exists() and not all(map(_is_ours, self._path.iterdir())):
                raise UsageError(f"{self._path} holds something else", hint="name a new folder")
            self._path.mkdir(mode=FOLDER_MODE, exist_ok=True)
            self.lock(os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), self._path)
            tidy(self._path / STATE)
            if held is None or self._force:
                held = fresh
                save(self._path / STATE, held)
                self._clear()
            return self._tidied(held)

    def _clear(self) -> None:
        for partition in self._path.glob("day=*"):
            shutil.rmtree(partition)

    def _tidied(self, held: Place) -> Place:
        if held.pending:
            self._name(held.pending)
            held = msgspec.structs.replace(held, pending=[])
            save(self._path / STATE, held)
        for stray in self._path.glob(f"day=*/device=*/.*{_PART}"):
            stray.unlink()
        return held

    def _name(self, pending: list[str]) -> None:
        for name in pending:
            final = self._path / name
            draft = _draft(final)
            if draft.exists():
                draft.replace(final)
            elif not final.exists():
                raise UsageError(f"{final} is gone", hint=AGAIN)
        os.sync()

    def take(self, events: list[Event], place: Place) -> None:
        """Write files, move the place, name the files."""
        parts: dict[tuple[date, str], list[Event]] = {}
        for event in events:
            parts.setdefault((_day(event), event.device), []).append(event)
        with self._translated():
            names = [self._write(day, device, part) for (day, device), part in parts.items()]
            os.sync()  # once for all files of the page
            save(self._path / STATE, msgspec.structs.replace(place, pending=names))
            self._name(names)
            save(self._path / STATE, place)

    def _write(self, day: date, device: str, events: list[Event]) -> str:
        from pyarrow import Table, parquet  # noqa: PLC0415 - an extra, and slow to load

        first, last = (_arrival(event) for event in (events[0], events[-1]))
        name = f"day={day.isoformat()}/device={quote(device, safe='')}/{first:012}-{last:012}.parquet"
        final = self._path / name
        final.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        table = Table.from_pylist([_row(event) for event in events], schema=self._schema)
        parquet.write_table(table, _draft(final), compression="zstd")
        return name

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self._path, error) from None


def _is_ours(path: Path) -> bool:
    """Whether a killed first export may have left it."""
    return path.name.startswith(f".{STATE}.")


def _draft(final: Path) -> Path:
    return final.with_name(f".{final.name}{_PART}")


def _day(event: Event) -> date:
    """The day of the time that an event shows, UTC; the first or last of the calendar for one beyond it."""
    return (_EPOCH + timedelta(microseconds=min(max(event.time_us, _FIRST_US), _LAST_US))).date()


def _arrival(event: Event) -> int:
    return 0 if event.arrival is None else event.arrival.number


def _schema(pa: Any) -> Any:
    """Columns; day and device stand in the path."""
    return pa.schema(
        [
            ("id", pa.string()),
            ("origin", pa.string()),
            ("seq", pa.int64()),
            ("hlc", pa.uint64()),
            ("order_key", pa.string()),
            ("time", pa.timestamp("us", tz="UTC")),
            ("kind", pa.string()),
            ("agent", pa.string()),
            ("name", pa.string()),
            ("data", pa.string()),
            ("data_raw", pa.binary()),
            ("redacted", pa.bool_()),
            ("arrival", pa.int64()),
            ("received_at", pa.timestamp("ms", tz="UTC")),
            ("late", pa.bool_()),
        ]
    )


def _row(event: Event) -> dict[str, Any]:
    arrival, shown = event.arrival, is_json_line(event.body)
    return {
        "id": str(event.id),
        "origin": event.origin,
        "seq": event.seq,
        "hlc": event.hlc,
        "order_key": event.order,
        "time": event.time_us if event.time is not None else None,
        "kind": event.kind,
        "agent": event.agent,
        "name": event.name,
        "data": disarmed(event.body).decode() if shown else None,
        "data_raw": None if shown or event.redacted else event.body,
        "redacted": event.redacted,
        "arrival": _arrival(event),
        "received_at": None if arrival is None else arrival.received_ms,
        "late": arrival is not None and arrival.late,
    }
