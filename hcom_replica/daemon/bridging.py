"""The bridge at work in the daemon: looks at hcom's database, plays the other devices for it (hcom-bridge-v1).

Owns the putting together of the bridge's parts, and that whatever is wrong with hcom disturbs nothing else: it is
remembered for status, and tried again. A caretaker of the loop.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from hcom_replica.bridge.database import HcomDatabase
from hcom_replica.bridge.directory import Directory
from hcom_replica.bridge.endpoint import Endpoint
from hcom_replica.bridge.foreigners import Foreigners
from hcom_replica.bridge.gateway import Gateway
from hcom_replica.bridge.handover import Handover
from hcom_replica.bridge.ledger import BridgeLog, Network
from hcom_replica.bridge.numbering import Numbering
from hcom_replica.bridge.remote import Remote
from hcom_replica.bridge.roster import Roster
from hcom_replica.bridge.settings import BridgeSettings
from hcom_replica.bridge.shortid import short_id
from hcom_replica.bridge.source import Source
from hcom_replica.bridge.wishes import Rules, Wish
from hcom_replica.core.effects import Now, Trace
from hcom_replica.core.machine import Machine
from hcom_replica.daemon.engine import Engine
from hcom_replica.daemon.messages import BridgeInfo
from hcom_replica.errors import BridgeError, StoreError
from hcom_replica.folder.watch import Watch
from hcom_replica.ids import OriginId

DATABASE: Final = "hcom.db"
DEVICE_ID: Final = Path(".tmp", "device_id")
WORKER_PID: Final = Path(".tmp", "relay.pid")

RETRY_MS: Final = 1_000
BUSY_MS: Final = 20
"""How soon hcom's cursor is looked at again while something is under way."""

GAP_MS: Final = 8
"""Looks are at least so far apart: hcom writes a hundred rows in a hundred transactions."""

BLIND_MS: Final = 40
"""How often its database is looked at where the system does not tell of writes."""

IDLE_MS: Final = 500
WORKER_MS: Final = 2_500
"""How long hcom's worker may take to come before it is started again: by itself it may wait a minute. When the bridge
begins, and no worker runs, it is started at once; later one that is gone may be on its way back, as in `hcom reset`."""

CHILD_S: Final = 5.0
"""How long the end of the bridge waits for an hcom that is just starting its worker."""

WORKER_AGAIN_MS: Final = 60_000


class MachineNetwork:
    """What the bridge asks of the machine."""

    def __init__(self, machine: Machine, engine: Engine) -> None:
        self._machine = machine
        self._engine = engine

    def settled(self) -> bool:
        """Whether the others' heads have been read on this connection; True where nothing is synced."""
        return not self._engine.enabled or self._machine.wait_result().heads_read

    def behind(self) -> bool:
        """Whether something is known to be missing here."""
        return self._machine.wait_result().missing_events > 0

    def known(self) -> dict[OriginId, int]:
        """Origin to the highest seq that is known to exist."""
        return self._machine.known()

    def online(self) -> frozenset[OriginId]:
        """Origins of devices that are online."""
        return frozenset(self._machine.live_info().online)


class Who(NamedTuple):
    """Whose bridge it is.

    Attributes:
        group: 16 bytes.
        device: id of this device.
        name: its name.
        allowed: what other devices may have done here; see `Rules`.
        foreigners: machines that run only hcom.
    """

    group: bytes
    device: bytes
    name: str
    allowed: tuple[str, ...]
    foreigners: Foreigners


class Bridging:
    """The bridge of one folder, from construction to `close`.

    Args:
        settings: which hcom, and how it connects.
        log: of the folder.
        network: see there.
        selector: the loop's.
        trace: is given what is worth a line in the log.
        who: whose bridge it is.

    Raises:
        BridgeError: the endpoint's port is taken.
    """

    def __init__(
        self,
        settings: BridgeSettings,
        log: BridgeLog,
        network: Network,
        selector: selectors.BaseSelector,
        trace: Callable[[Trace], None],
        who: Who,
    ) -> None:
        self.settings = settings
        self._folder = Path(settings.hcom_dir)
        self._network = network
        self._selector = selector
        self._trace = trace
        directory = Directory(log, who.device, who.name, who.foreigners)
        numbering, roster = Numbering(log, who.group), Roster(log)
        rules = Rules(settings.key_bytes, settings.relay_id, who.allowed, self._tell, self._hears, os.urandom, trace)
        self._remote = Remote(log, directory, numbering, rules)
        self._endpoint = Endpoint(selector, settings.port, settings.relay_id, settings.password, self._remote.heard)
        self._source = Source(log, directory, self._folder / DATABASE, os.urandom, trace)
        self._handover = Handover(log, directory, numbering, roster, self._source, self._remote.wanted_answer)
        self._gateway = Gateway(
            log,
            directory,
            numbering,
            roster,
            self._handover,
            self._endpoint,
            key=settings.key_bytes,
            relay_id=settings.relay_id,
            entropy=os.urandom,
        )
        self._watch: Watch | None = None
        self._trouble: BridgeError | StoreError | None = None
        self._retry_ms: int | None = None
        self._wake_ms: int | None = None
        self._worked_ms = -GAP_MS
        self._more = False
        self._fresh = True
        self._worker_ms: int | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._listened = 0
        self._device: tuple[HcomDatabase | None, str | None] = (None, None)

    # --- the loop's caretaker ------------------------------------------------------------------------------

    def poll(self, now: Now) -> None:
        """Do what is due."""
        self._endpoint.poll(now.mono_ms)
        if self._retry_ms is not None and now.mono_ms < self._retry_ms:
            self._wake_ms = self._retry_ms
            return
        if not self._more and now.mono_ms < self._worked_ms + GAP_MS:
            self._wake_ms = self._worked_ms + GAP_MS
            return
        self._worked_ms = now.mono_ms
        try:
            more = self._more = self._work(now)
        except (BridgeError, StoreError) as error:
            self._fail(error, now)
            return
        if self._trouble is not None:
            self._trace(Trace("hcom is usable again"))
        self._trouble = self._retry_ms = None
        self._wake_ms = now.mono_ms + self._pause_ms(more=more)
        self._look_after_worker(now)

    def wake_at(self) -> int | None:
        """Monotonic ms at which `poll` is wanted."""
        return self._wake_ms

    def info(self) -> BridgeInfo:
        """How things stand, for status."""
        database = self._source.database
        trouble = self._trouble
        return BridgeInfo(
            self.settings.hcom_dir,
            self._endpoint.port,
            bool(self._endpoint.listeners()),
            None if database is None else database.version,
            self._handover.pending(),
            sum(map(len, self._handover.under_way.values())),
            self._endpoint.refused,
            "" if trouble is None else trouble.message,
            "" if trouble is None else trouble.hint,
        )

    def refill(self) -> None:
        """Give hcom again whatever it does not have."""
        self._gateway.refill()

    def ask(self, device: bytes, action: str, params: dict[str, Any], until_ms: int, now: Now) -> str:
        """Ask a device for something of hcom's, for somebody who waits; return the request.

        Raises:
            StoreError: nothing was asked.
        """
        return self._remote.ask(device, action, params, until_ms, now)

    def answer(self, request: str) -> Wish | None:
        """What came of it; None while nothing has."""
        return self._remote.answer(request)

    def give_up(self, request: str) -> None:
        """Nobody waits any more."""
        self._remote.give_up(request)

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._source.close()
        self._unwatch()
        self._endpoint.close()
        if self._worker is not None:  # else it would start a worker behind the back of whoever stops everything
            with suppress(subprocess.TimeoutExpired):
                self._worker.wait(CHILD_S)

    # --- work ----------------------------------------------------------------------------------------------

    def _work(self, now: Now) -> bool:
        more = self._source.look(now, self._network)
        self._watched()
        if not self._source.agents.settled() and self._network.settled():
            self._source.agents.settle(self._network.known())
        listening = self._endpoint.listeners()
        if listening != self._listened:
            self._listened = listening
            self._gateway.again()
        database = self._source.database
        uuid = None if database is None else self._device_of(database)
        if database is None or uuid is None or more:
            return more
        short = database.kv(f"relay_uuid_short_{uuid}") or short_id(uuid)
        more = self._remote.poll(database, short, now, self._network)
        return self._gateway.poll(database, short, now, self._network) or more

    def _pause_ms(self, *, more: bool) -> int:
        if more:
            return 0
        if self._handover.busy() and self._listened:
            return BUSY_MS
        return IDLE_MS if self._watch is not None and self._watch.wakes else BLIND_MS

    def _fail(self, error: BridgeError | StoreError, now: Now) -> None:
        if self._trouble is None or self._trouble.message != error.message:
            self._trace(Trace("hcom is not usable", (("kind", error.kind), ("error", error.message))))
        self._trouble = error
        self._source.close()
        self._unwatch()
        self._retry_ms = self._wake_ms = now.mono_ms + RETRY_MS

    def _device_of(self, database: HcomDatabase) -> str | None:
        """The id that hcom has for this device, read once for each database; None while it has none."""
        if self._device[0] is not database or self._device[1] is None:
            self._device = (database, None)
            with suppress(OSError, UnicodeDecodeError):
                self._device = (database, (self._folder / DEVICE_ID).read_text().strip()[:64] or None)
        return self._device[1]

    def _hears(self) -> bool:
        return bool(self._endpoint.listeners())

    def _tell(self, topic: str, payload: bytes) -> None:
        self._endpoint.tell(topic, payload)

    # --- waking, and being woken ---------------------------------------------------------------------------

    def _watched(self) -> None:
        if self._watch is None:
            self._watch = Watch(self._folder)
            if self._watch.wakes:
                watch = self._watch
                self._selector.register(watch.fileno(), selectors.EVENT_READ, lambda _events: watch.hear())

    def _unwatch(self) -> None:
        if self._watch is not None:
            if self._watch.wakes:
                self._selector.unregister(self._watch.fileno())
            self._watch.close()
            self._watch = None

    def _look_after_worker(self, now: Now) -> None:
        """Without its worker hcom imports nothing: (re)start it when it does not come."""
        if self._worker is not None and self._worker.poll() is not None:
            self._worker = None
        if self._endpoint.listeners():
            self._worker_ms, self._fresh = None, False
        elif self._worker_ms is None:
            self._worker_ms = now.mono_ms + (0 if self._fresh and not self._has_worker() else WORKER_MS)
        elif now.mono_ms >= self._worker_ms and self._worker is None:
            self._worker_ms = now.mono_ms + WORKER_AGAIN_MS
            self._restart_worker()

    def _has_worker(self) -> bool:
        """Whether hcom's worker runs, as far as its own file says."""
        with suppress(OSError, ValueError):
            os.kill(int((self._folder / WORKER_PID).read_text()), 0)
            return True
        return False

    def _restart_worker(self) -> None:
        if not self.settings.program:
            return
        self._trace(Trace("starting hcom's relay worker"))
        with suppress(OSError):
            self._worker = subprocess.Popen(
                [self.settings.program, "relay", "daemon", "restart" if self._has_worker() else "start"],
                env={**os.environ, "HCOM_DIR": self.settings.hcom_dir},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
