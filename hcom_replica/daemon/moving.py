"""Going to the broker that the group has moved to: settings, token and connection (protocol-v1 P16.3, P16.6).

Owns the order in which a folder changes, and the file `moved.from`: the brokers before, one a line, which are looked
at while the new one cannot be reached; it is taken away when the new one was reached once. Dying in between leaves a
folder that goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from hcom_replica.core.effects import Now, Trace
from hcom_replica.core.moving import Moving
from hcom_replica.daemon.departure import Departure
from hcom_replica.daemon.dialer import BrokerDialer
from hcom_replica.daemon.engine import Engine
from hcom_replica.errors import ConfigError
from hcom_replica.folder import keys
from hcom_replica.folder.config import BROKERS_MAX, Config, Value, load_config
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.files import read_text, replace
from hcom_replica.folder.paths import Folder
from hcom_replica.transport.url import BrokerAddress, parse_broker_url
from hcom_replica.wire.token import JoinToken

_BEFORE_MAX: Final = BROKERS_MAX - 1


def brokers_before(folder: Folder) -> tuple[BrokerAddress, ...]:
    """The brokers that a folder has moved from, while it has not reached the new one; damaged lines are skipped."""
    return _readable((read_text(folder.moved_from) or "").split())


def settle(folder: Folder, url: str) -> None:
    """Make a folder one whose place is another broker: its settings, then its token, which decides.

    Args:
        folder: of a group.
        url: in its canonical form.

    Raises:
        ConfigError: the folder cannot be changed, or `url` is not usable; done again, it goes on where it stopped.
    """
    address, config, token = parse_broker_url(url), load_config(folder.config), keys.group_token(folder)
    if token is None:
        raise ConfigError("this folder has no group")
    present = _readable(config.brokers or token.brokers)
    before = dict.fromkeys(one for one in (*present, *brokers_before(folder)) if one != address)
    replace(folder.moved_from, "".join(f"{one.url}\n" for one in list(before)[:_BEFORE_MAX]).encode())
    change_config(folder.config, {"relay.broker": address.url, **_kept_from(address, present, config)})
    keys.set_group(folder, JoinToken(token.keys, (address.url,), token.founder))


def _kept_from(address: BrokerAddress, present: tuple[BrokerAddress, ...], config: Config) -> dict[str, Value]:
    """A password that was given for one host is not shown to another that a member has named."""
    elsewhere = present and present[0].host != address.host
    if elsewhere and config.username is not None and config.credentials_for is None:
        return {"relay.credentials_for": present[0].host}
    return {}


def _readable(urls: tuple[str, ...] | list[str]) -> tuple[BrokerAddress, ...]:
    found: list[BrokerAddress] = []
    for url in urls:
        with suppress(ConfigError):
            found.append(parse_broker_url(url))
    return tuple(found)


class Mover:
    """Goes when it is time (one of the loop's Caretakers).

    Args:
        folder: changed when this device goes.
        moving: the machine's part.
        engine: tells of the connection.
        dialer: chooses the broker.
        reload: reads the settings again, and connects where they say.
        trace: is given what is worth a line in the log.
    """

    def __init__(
        self,
        folder: Folder,
        moving: Moving,
        engine: Engine,
        dialer: BrokerDialer,
        reload: Callable[[Now], None],
        trace: Callable[[Trace], None],
    ) -> None:
        self._folder = folder
        self._moving = moving
        self._engine = engine
        self._dialer = dialer
        self._reload = reload
        self._trace = trace
        self._departure = Departure(moving, engine)
        self._before = brokers_before(folder)
        self._unusable = ""

    @property
    def is_arriving(self) -> bool:
        """Whether the new broker was not reached yet."""
        return bool(self._before)

    def look(self) -> None:
        """The folder has changed: see which brokers it has moved from."""
        self._before = brokers_before(self._folder)

    def poll(self, now: Now) -> None:
        """Go, or see that we have arrived."""
        self._moving.is_away = self._dialer.away
        url = self._departure.due(now)
        if url is not None and url != self._unusable:
            self._go(now, url)
        elif self._before and self._engine.online and not self._dialer.away:
            self._arrive()

    def wake_at(self) -> int | None:
        """The loop's own look each second is enough."""
        return None

    def _go(self, now: Now, url: str) -> None:
        self._trace(Trace("the group has moved", (("broker", url),)))
        try:
            settle(self._folder, url)
            self._reload(now)
        except ConfigError as error:
            self._unusable = url
            self._trace(Trace("cannot follow", (("error", error.message),)))

    def _arrive(self) -> None:
        with suppress(OSError):
            self._folder.moved_from.unlink(missing_ok=True)
        self._dialer.narrow([one for one in self._dialer.brokers if one not in self._before])
        self._before = ()
        self._trace(Trace("arrived at the new broker"))
