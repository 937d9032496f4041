"""Keeps the folder's bridge running while `bridge.json` says that there is one; a caretaker of the loop.

Owns starting it, trying again when the endpoint's port is taken, and ending it.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable
from typing import Final

from hcom_replica.bridge.settings import BridgeSettings, decode_settings
from hcom_replica.core.effects import Now, Trace
from hcom_replica.daemon.bridging import Bridging
from hcom_replica.daemon.messages import BridgeInfo
from hcom_replica.errors import BridgeError, ConfigError
from hcom_replica.folder.files import read_bytes
from hcom_replica.folder.paths import Folder

RETRY_MS: Final = 2_000

Make = Callable[[BridgeSettings, selectors.BaseSelector], Bridging]
"""Puts a bridge together."""


class BridgeKeeper:
    """The bridge of one folder, if it has one.

    Args:
        folder: the data folder.
        selector: the loop's.
        make: see there.
        trace: is given what is worth a line in the log.
    """

    def __init__(
        self, folder: Folder, selector: selectors.BaseSelector, make: Make, trace: Callable[[Trace], None]
    ) -> None:
        self._folder = folder
        self._selector = selector
        self._make = make
        self._trace = trace
        self._settings: BridgeSettings | None = None
        self._bridge: Bridging | None = None
        self._trouble: BridgeError | ConfigError | None = None
        self._retry_ms = 0
        self.reload()

    def reload(self) -> None:
        """Read `bridge.json` again: a bridge that has changed is begun anew."""
        before = self._settings
        self._trouble = None
        try:
            data = read_bytes(self._folder.bridge)
            self._settings = None if data is None else decode_settings(data, str(self._folder.bridge))
        except ConfigError as error:
            self._settings, self._trouble = None, error
            self._trace(Trace("bridge not usable", (("error", error.message),)))
        if self._settings != before:
            self._end()
            self._retry_ms = 0

    def poll(self, now: Now) -> None:
        """Start the bridge if there is to be one, and let it do what is due."""
        if self._settings is not None and self._bridge is None and now.mono_ms >= self._retry_ms:
            self._start(self._settings, now)
        if self._bridge is not None:
            self._bridge.poll(now)

    def wake_at(self) -> int | None:
        """Monotonic ms at which `poll` is wanted."""
        if self._bridge is not None:
            return self._bridge.wake_at()
        return self._retry_ms if self._settings is not None else None

    def info(self) -> BridgeInfo | None:
        """How the bridge stands; None when there is none."""
        if self._bridge is not None:
            return self._bridge.info()
        if self._trouble is None:
            return None
        settings = self._settings
        place, port = (settings.hcom_dir, settings.port) if settings is not None else ("", 0)
        return BridgeInfo(place, port, trouble=self._trouble.message, hint=self._trouble.hint)

    @property
    def bridge(self) -> Bridging | None:
        """The bridge at work; None when there is none."""
        return self._bridge

    def refill(self) -> bool:
        """Give hcom again whatever it does not have; False when there is no bridge."""
        if self._bridge is not None:
            self._bridge.refill()
        return self._bridge is not None

    def close(self) -> None:
        """End the bridge. Idempotent."""
        self._settings = None
        self._end()

    def _start(self, settings: BridgeSettings, now: Now) -> None:
        try:
            self._bridge = self._make(settings, self._selector)
        except BridgeError as error:
            if self._trouble is None:
                self._trace(Trace("bridge not started", (("error", error.message),)))
            self._trouble = error
            self._retry_ms = now.mono_ms + RETRY_MS
            return
        self._trouble = None
        self._trace(Trace("bridge started", (("hcom_dir", settings.hcom_dir), ("port", settings.port))))

    def _end(self) -> None:
        if self._bridge is not None:
            self._bridge.close()
            self._bridge = None
            self._trace(Trace("bridge ended"))
