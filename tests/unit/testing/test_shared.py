"""Checks shared by the devices of one process say the same as each by itself."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from hcom_replica.errors import ProtocolError
from hcom_replica.testing import simulation
from hcom_replica.testing.shared import shared_checks
from hcom_replica.testing.simulation import Plan, simulate
from hcom_replica.wire import signing
from hcom_replica.wire.signing import COMMIT, MESSAGE, DeviceKey, verify

KEY = DeviceKey(bytes(32))
DIGEST = bytes(32)


def test_shared_check_holds_again_and_a_false_one_never() -> None:
    signature = KEY.sign(COMMIT, DIGEST)
    with shared_checks():
        for _ in range(2):
            verify(KEY.public, COMMIT, DIGEST, signature)
            altered = bytes(31) + b"1"
            for wrong in [(MESSAGE, DIGEST, signature), (COMMIT, altered, signature), (COMMIT, DIGEST, bytes(64))]:
                with pytest.raises(ProtocolError):
                    verify(KEY.public, *wrong)


def test_checks_are_apart_again_afterwards() -> None:
    before = vars(signing)["crypto_sign_open"]
    with shared_checks():
        assert vars(signing)["crypto_sign_open"] is not before
    assert vars(signing)["crypto_sign_open"] is before


def test_simulation_that_shares_what_is_read_is_the_same_run_as_one_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody changes what is shared, and nothing is shared that depends on who reads it."""
    plan = Plan(devices=12, events=60, loss=0.3, seed=5)
    shared = simulate(plan)
    monkeypatch.setattr(simulation, "shared_checks", nullcontext)
    assert simulate(plan) == shared
