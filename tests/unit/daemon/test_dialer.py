"""Which broker is tried next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hcom_replica.daemon import dialer
from hcom_replica.daemon.dialer import BrokerDialer
from hcom_replica.transport.failure import CLOSED_HERE, Failure
from hcom_replica.transport.url import BrokerAddress, Credentials

FIRST, SECOND, OTHER = (BrokerAddress(host, 1883, tls=False) for host in ("first", "second", "other"))
REFUSED = Failure("refused", "the broker refused us", refused=True)


class FakeLink:
    """A link that ends as it is told to."""

    def __init__(self, _settings: Any, *, will: Any, wake: Callable[[], None]) -> None:
        del will, wake
        self.failure: Failure | None = None


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> BrokerDialer:
    monkeypatch.setattr(dialer, "PahoLink", FakeLink)
    return BrokerDialer((FIRST, SECOND), Credentials(), lambda: None)


def end(made: BrokerDialer, failure: Failure | None, *, was_up: bool = False) -> bool:
    """A link is made, and ends."""
    made.open(None).failure = failure
    if was_up:
        made.came_up()
    return made.ended(was_up=was_up)


def test_refusal_leads_to_the_next_one_and_round_again(made: BrokerDialer) -> None:
    assert end(made, REFUSED)
    assert (made.broker, made.first_failure) == (SECOND, REFUSED)
    assert not end(made, REFUSED)
    assert made.broker == FIRST


def test_end_of_a_connection_leads_back_to_the_first(made: BrokerDialer) -> None:
    end(made, REFUSED)
    assert made.away
    assert not end(made, Failure("lost", "the connection was lost"), was_up=True)
    assert (made.broker, made.first_failure) == (FIRST, REFUSED)
    end(made, None, was_up=True)
    assert made.first_failure is None


@pytest.mark.parametrize("failure", [None, CLOSED_HERE])
def test_attempt_that_we_broke_off_is_made_again(made: BrokerDialer, failure: Failure | None) -> None:
    assert not end(made, failure)
    assert (made.broker, made.first_failure) == (FIRST, None)


def test_attempt_under_way_when_the_settings_change_says_nothing_of_the_new_ones(made: BrokerDialer) -> None:
    link = made.open(None)
    assert made.change((OTHER, FIRST), Credentials())
    link.failure = REFUSED
    assert not made.ended(was_up=False)
    assert (made.broker, made.first_failure) == (OTHER, None)
    assert not made.change((OTHER, FIRST), Credentials())


def test_narrowing_gives_up_the_others(made: BrokerDialer) -> None:
    end(made, None, was_up=True)
    made.narrow([FIRST])
    assert made.brokers == (FIRST,)
    assert not end(made, REFUSED)
    assert made.broker == FIRST
