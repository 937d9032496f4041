"""Which broker the next link goes to, and making it.

Owns the list of brokers in their order. All devices of a group must meet at one broker, so each goes to the first that
takes it, and one that had to go to a later one comes back to look after a while.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from hcom_replica.ports import Will
from hcom_replica.transport.failure import CLOSED_HERE, Failure
from hcom_replica.transport.link import LinkSettings, PahoLink
from hcom_replica.transport.url import BrokerAddress, Credentials

HOME_AFTER_MS: Final = 600_000
"""How long a device stays with a broker that is not the first before it tries the first again."""


class BrokerDialer:
    """Makes PahoLinks to the first broker that takes us (the engine's `Dialer`).

    Args:
        brokers: in their order; without any, no link can be made.
        credentials: shown to each of them.
        wake: called on a link's thread when it has something to tell.

    Attributes:
        failure: why the last attempt failed; None while connected or before the first one.
        first_failure: why the last attempt with the first broker failed; None when it came up, or was not made.
    """

    def __init__(self, brokers: Sequence[BrokerAddress], credentials: Credentials, wake: Callable[[], None]) -> None:
        self.failure: Failure | None = None
        self.first_failure: Failure | None = None
        self._brokers = tuple(brokers)
        self._credentials = credentials
        self._wake = wake
        self._index = 0
        self._link: PahoLink | None = None

    @property
    def broker(self) -> BrokerAddress | None:
        """The one we are connected to, or try next; None when there is none at all."""
        return self._brokers[self._index] if self._brokers else None

    @property
    def brokers(self) -> tuple[BrokerAddress, ...]:
        """All of them, in their order."""
        return self._brokers

    @property
    def away(self) -> bool:
        """Whether that is another than the first."""
        return self._index > 0

    def change(self, brokers: Sequence[BrokerAddress], credentials: Credentials) -> bool:
        """Use other settings from the next link on; tell whether anything is different."""
        if (tuple(brokers), credentials) == (self._brokers, self._credentials):
            return False
        self._brokers, self._credentials, self._index = tuple(brokers), credentials, 0
        self._link = self.first_failure = None
        return True

    def narrow(self, brokers: Sequence[BrokerAddress]) -> None:
        """Give up others than these; the present connection is to the first of them."""
        self._brokers, self._index = tuple(brokers), 0

    def open(self, will: Will | None) -> PahoLink:
        """Make a link to the broker whose turn it is; there must be one."""
        settings = LinkSettings(self._brokers[self._index], self._credentials)
        self._link = PahoLink(settings, will=will, wake=self._wake)
        return self._link

    def came_up(self) -> None:
        """The link was accepted."""
        self.failure = None
        if self._index == 0:
            self.first_failure = None

    def ended(self, *, was_up: bool) -> bool:
        """The link is dead: after a connection begin with the first broker again, after a refusal try the next.

        An attempt that we broke off ourselves says nothing of the broker: it has its turn again.

        Returns:
            Whether there is a broker that has not been tried in this round.
        """
        link, self._link = self._link, None
        self.failure = None if link is None else link.failure
        if was_up:
            self._index = 0
        elif self.failure not in (None, CLOSED_HERE):
            if self._index == 0:
                self.first_failure = self.failure
            self._index = (self._index + 1) % max(1, len(self._brokers))
        return self._index > 0
