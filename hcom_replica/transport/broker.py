"""The embedded MQTT broker: amqtt, for trying things out, for tests, and for small groups on one network.

Owns an asyncio loop, in a thread (`EmbeddedBroker`) or in the caller's (`serve`), and the file that keeps retained
messages. It is open to everyone who reaches its port and does no TLS: events are sealed anyway, but anyone who can
connect can fill or clear it. Bind it to 127.0.0.1 or to a network you trust.

What amqtt 0.12 can do, measured with one client publishing to itself on the reference machine (2 cores, loopback,
QoS 1): 70 MB/s in messages of 60 KiB, 1,700 messages/s of 300 bytes; 0.7 ms from publish to delivery. MQTT 3.1.1
only. Retained messages reach wildcard subscriptions; wills work. Its limits: whatever a slow subscriber has not taken
waits in memory without bound (92 MB of messages cost 100 MB); no session outlives its connection here; amqtt's own
persistence needs SQLAlchemy, so retained messages are kept by `retained`, every 5 s and at the end.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from amqtt.adapters import StreamWriterAdapter  # type: ignore[import-untyped]
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.errors import AMQTTError  # type: ignore[import-untyped]

from hcom_replica.errors import BrokerError
from hcom_replica.transport.gate import admit
from hcom_replica.transport.retained import RetainedFile
from hcom_replica.transport.url import BrokerAddress

_log = logging.getLogger(__name__)
_SAVE_EVERY_S: Final = 5.0
"""What a kill can lose of the retained messages; the group heals it from the devices' own logs."""
_START_S_MAX: Final = 15.0
_LISTENER: Final = "default"
_NEVER_S: Final = 10**9
_CONFIG: Final = {
    "listeners": {_LISTENER: {"type": "external"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    "timeout_disconnect_delay": _NEVER_S,  # the gate keeps time; amqtt's own timer could tear a packet in two
}


class _Amqtt(Broker):  # type: ignore[misc]
    """amqtt, with one cure: it sends each new connection all that is retained for the subscriptions of all others."""

    async def _publish_retained_messages_for_subscription(self, subscription: tuple[str, int], session: Any) -> None:
        if any(subscriber is session for subscriber, _qos in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class _Service:
    """The broker inside a running loop."""

    def __init__(self, host: str, port: int, data_dir: Path | None) -> None:
        self._host = host
        self._port = port
        self._file = None if data_dir is None else RetainedFile(data_dir)
        self._connections: set[asyncio.Task[None]] = set()
        self._saver: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None
        self._broker: Broker | None = None

    async def start(self) -> BrokerAddress:
        """Listen.

        Raises:
            BrokerError: the port is taken, the host is not ours, or the data is damaged; nothing runs.
        """
        kept = [] if self._file is None else self._file.load()
        self._broker = _Amqtt(_CONFIG)
        await self._broker.start()
        for topic, payload, qos in kept:
            await self._broker.retain_message(None, topic, payload, qos)
        if self._file is not None:
            self._saver = asyncio.create_task(self._save_often())
        try:
            self._server = await asyncio.start_server(self._connected, self._host, self._port)
        except OSError as error:
            await self.stop()
            reason = (error.strerror or str(error)).lower()
            raise BrokerError(
                f"cannot listen on {self._host} port {self._port}: {reason}", hint="choose another --port or --host"
            ) from error
        port = self._server.sockets[0].getsockname()[1]
        return BrokerAddress(self._host, port, tls=False)

    async def stop(self) -> None:
        """End all connections, save what is retained, end the broker.

        Raises:
            BrokerError: the disk refused to save; all has ended all the same.
        """
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._saver is not None:
            self._saver.cancel()
            await asyncio.gather(self._saver, return_exceptions=True)
        try:
            await self._save()
        finally:
            if self._broker is not None:
                with suppress(AMQTTError):
                    await self._broker.shutdown()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._talk(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        await asyncio.wait([task])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            admitted = await admit(reader, writer)
            if admitted is not None and self._broker is not None:
                await self._broker.external_connected(admitted, StreamWriterAdapter(writer), _LISTENER)
        except (OSError, AMQTTError, asyncio.IncompleteReadError):
            pass  # a client that went away
        finally:
            writer.close()

    async def _save_often(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_EVERY_S)
            try:
                await self._save()
            except BrokerError as error:
                _log.warning("%s", error)

    async def _save(self) -> None:
        if self._file is None or self._broker is None:
            return
        kept = [(topic, bytes(one.data), one.qos or 0) for topic, one in self._broker.retained_messages.items()]
        await asyncio.get_running_loop().run_in_executor(None, self._file.save, kept)


class EmbeddedBroker:
    """A broker in a thread of this process.

    Args:
        host: where to listen; only a loopback address keeps strangers out.
        port: 0 takes a free one.
        data_dir: keeps retained messages there; None keeps them in memory only.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, data_dir: Path | None = None) -> None:
        self._service = _Service(host, port, data_dir)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._address: BrokerAddress | None = None

    @property
    def address(self) -> BrokerAddress:
        """Where it listens; only after `start`.

        Raises:
            BrokerError: it was not started.
        """
        if self._address is None:
            raise BrokerError("the embedded broker was not started")
        return self._address

    def start(self) -> Self:
        """Listen; returns when clients can connect.

        Raises:
            BrokerError: the port is taken; nothing runs.
        """
        _be_quiet()
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_exception)
        self._thread = threading.Thread(target=self._loop.run_forever, name="hcom-replica-broker", daemon=True)
        self._thread.start()
        try:
            self._address = asyncio.run_coroutine_threadsafe(self._service.start(), self._loop).result(_START_S_MAX)
        except BaseException:
            self._end_loop()
            raise
        return self

    def stop(self) -> None:
        """End all connections and the thread. Idempotent."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._service.stop(), self._loop).result(_START_S_MAX)
            self._end_loop()

    def _end_loop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result(_START_S_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def serve(
    host: str, port: int, *, data_dir: Path | None = None, on_ready: Callable[[BrokerAddress], None] | None = None
) -> None:
    """Run a broker until SIGINT or SIGTERM; must be called on the main thread.

    Args:
        host: where to listen.
        port: 0 takes a free one.
        data_dir: keeps retained messages there; None keeps them in memory only.
        on_ready: told the address once clients can connect.

    Raises:
        BrokerError: the port is taken; nothing was served.
    """
    _be_quiet()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(_Service(host, port, data_dir), on_ready))


async def _serve(service: _Service, on_ready: Callable[[BrokerAddress], None] | None) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_exception)
    told_to_end = asyncio.Event()
    with suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, told_to_end.set)
    address = await service.start()
    if on_ready is not None:
        on_ready(address)
    try:
        await told_to_end.wait()
    finally:
        await service.stop()


async def _end_tasks() -> None:
    """Cancel what amqtt left running, so that the loop closes without complaint."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _be_quiet() -> None:
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Keep amqtt's tasks from writing tracebacks about clients that went away."""
    _log.debug("in the embedded broker: %s", context.get("message"))
