"""Waiting for a state, with a deadline: the only place in the tests that sleeps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.005


def wait_until(predicate: Callable[[], T], timeout_s: float, what: str | Callable[[], str]) -> T:
    """Poll `predicate` until it is true and return what it gave.

    Args:
        predicate: cheap, and free of side effects that a repetition would spoil.
        timeout_s: a bound for a machine under load, not an expectation.
        what: the awaited state, for the failure; a function is called only then.

    Raises:
        AssertionError: the deadline passed; names the state.
    """
    deadline = time.monotonic() + timeout_s
    while not (result := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(_POLL_S)
    return result


def stays(predicate: Callable[[], bool], for_s: float, what: str) -> None:
    """Check that something that would go wrong by itself stays right for a while.

    Raises:
        AssertionError: it did not.
    """
    deadline = time.monotonic() + for_s
    while time.monotonic() < deadline:
        assert predicate(), f"did not stay: {what}"
        time.sleep(_POLL_S)
