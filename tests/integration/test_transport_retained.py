"""The embedded broker's file: damaged, it is refused with what to do, whatever is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hcom_replica.errors import BrokerError
from hcom_replica.transport.retained import RetainedFile


@pytest.mark.parametrize(
    "damaged", [b"", b"\xc1", b"\x91\x93\xa2\xff\xff\xc4\x00\x00", b"\x91" * 50_000, b"\x91\x92\xa1a\xc4\x00"]
)
def test_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "retained.msgpack"
    path.write_bytes(damaged)
    with pytest.raises(BrokerError) as error:
        RetainedFile(tmp_path).load()
    assert "delete it" in error.value.hint
    assert path.read_bytes() == damaged
