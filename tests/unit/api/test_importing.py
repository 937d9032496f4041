"""Where the lines of an import come from: no transaction waits for them."""

from __future__ import annotations

import io
from collections.abc import Iterator

from hcom_replica.api.importing import spooled
from tests.unit.store.devices import Device


class Slow(io.RawIOBase):
    """A pipe whose writer appends to the log between two lines."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        super().__init__()
        self._lines = lines

    def read(self, size: int = -1, /) -> bytes:
        return next(self._lines, b"")


def test_pipe_is_read_to_its_end_before_anything_is_appended() -> None:
    """T5.6: whoever writes slowly into an import keeps nobody from writing"""
    device = Device("BOXE")

    def lines() -> Iterator[bytes]:
        for number in range(3):
            device.emit(f"meanwhile {number}")
            yield b'{"kind":"note"}\n'

    with spooled(Slow(lines())) as file:  # type: ignore[arg-type]  # what it needs of a stream is read()
        assert device.bodies() == ["meanwhile 0", "meanwhile 1", "meanwhile 2"]
        assert file.read() == b'{"kind":"note"}\n' * 3
