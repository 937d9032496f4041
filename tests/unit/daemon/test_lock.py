"""Who holds the daemon's lock, by its text."""

from __future__ import annotations

import pytest

from hcom_replica.daemon.lock import pid_in


@pytest.mark.parametrize(
    ("text", "pid"),
    [(b"1234\n", 1234), (b"", 0), (b"-1", 0), (b"12 34", 0), (b"9" * 32, 0), (b"\xc2\xb2", 0), (b"4194304", 4194304)],
)
def test_pid_is_a_number_that_a_process_can_have(text: bytes, pid: int) -> None:
    """A signal is sent to it: what is no pid must not become one, nor an error."""
    assert pid_in(text) == pid
