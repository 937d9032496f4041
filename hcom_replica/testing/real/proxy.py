"""ChaosProxy: a bad network between a client and a broker.

Owns a TCP forwarder on 127.0.0.1 whose port stays the same, in a thread with an event loop of its own. All public
methods are called from the test's thread and have taken effect when they return.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from hcom_replica.transport.url import BrokerAddress

HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_SOCKET_BUFFER_BYTES = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_STEPS_A_SECOND = 50
_APART_S = 1e-6


@dataclass(slots=True)
class _Direction:
    """One way of the traffic: its limit and what has passed."""

    bytes_a_second: float | None = None
    delay_s: float = 0.0
    passed_bytes: int = 0


class ChaosProxy:
    """Forwards TCP to a broker until told otherwise.

    Attributes:
        port: where clients connect.

    Args:
        target_port: the broker's port on 127.0.0.1.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._up = _Direction()
        self._down = _Direction()
        self._refusing = False
        self._connections: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._flapping: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self._listener = _listen()
        self.port: int = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy", daemon=True)

    # --- the test's side ------------------------------------------------------------------------------------

    @property
    def address(self) -> BrokerAddress:
        """Where clients connect, without TLS; wrap the port yourself for TLS."""
        return BrokerAddress(HOST, self.port, tls=False)

    @property
    def url(self) -> str:
        """`address` as text."""
        return self.address.url

    @property
    def bytes_up(self) -> int:
        """Bytes passed from clients to the broker."""
        return self._up.passed_bytes

    @property
    def bytes_down(self) -> int:
        """Bytes passed from the broker to clients."""
        return self._down.passed_bytes

    @property
    def connections_now(self) -> int:
        """Client connections open at present."""
        return len(self._connections)

    @property
    def connections_total(self) -> int:
        """Client connections accepted and not refused, since the start."""
        return self._accepted

    def start(self) -> Self:
        """Accept connections."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        return self

    def cut(self) -> None:
        """Reset all connections and every new one, until `heal`."""
        self._call(self._cut)

    def drop(self) -> None:
        """Reset all connections; new ones pass."""
        self._call(self._reset_all)

    def heal(self) -> None:
        """Pass everything again: ends `cut`, `black_hole` and `flap`; rate limits stay."""
        self._call(self._heal)

    def black_hole(self) -> None:
        """Keep connections, accept new ones, pass nothing.

        What is sent meanwhile waits, as in a network that loses packets: `heal` lets it pass, `drop` loses it.
        """
        self._call(self._passing.clear)

    def limit(self, *, up_bytes_s: float | None = None, down_bytes_s: float | None = None) -> None:
        """Limit the speed of each direction of each connection; None is no limit."""
        self._up.bytes_a_second = up_bytes_s
        self._down.bytes_a_second = down_bytes_s

    def delay(self, one_way_s: float) -> None:
        """Let all that passes from now on take so long each way, as over a long line; 0 is no delay.

        What is under way is not bounded, and connecting to this proxy takes no time.
        """
        self._call(lambda: self._set_delay(one_way_s))

    def flap(self, *, up_s: float, down_s: float) -> None:
        """Pass for `up_s`, cut for `down_s`, and so on until `heal`."""
        self._call(lambda: self._start_flapping(up_s, down_s))

    def stop(self) -> None:
        """End all connections and the thread. Idempotent."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if not self._loop.is_closed():
            self._loop.close()
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _call(self, action: Callable[[], None]) -> None:
        async def on_loop() -> None:
            action()

        asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result()

    # --- the loop's side --------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._connected, sock=self._listener)

    async def _shut(self) -> None:
        self._heal()
        assert self._server is not None
        self._server.close()
        tasks = list(self._connections)
        self._reset_all()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def _cut(self) -> None:
        self._refusing = True
        self._reset_all()

    def _reset_all(self) -> None:
        for task in self._connections:
            task.cancel()
        self._connections = set()

    def _heal(self) -> None:
        self._refusing = False
        self._passing.set()
        if self._flapping is not None:
            self._flapping.cancel()
            self._flapping = None

    def _set_delay(self, one_way_s: float) -> None:
        self._up.delay_s = self._down.delay_s = one_way_s

    def _start_flapping(self, up_s: float, down_s: float) -> None:
        self._heal()
        self._flapping = self._loop.create_task(self._flap(up_s, down_s))

    async def _flap(self, up_s: float, down_s: float) -> None:
        while True:
            self._refusing = False
            await asyncio.sleep(up_s)
            self._cut()
            await asyncio.sleep(down_s)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            _reset(writer)
            return
        self._accepted += 1
        task = asyncio.ensure_future(self._forward(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        await asyncio.wait([task])

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it, or a reset cancels it."""
        target: asyncio.StreamWriter | None = None
        try:
            await self._passing.wait()
            target_reader, target = await asyncio.open_connection(sock=await self._dial())
            ways = [
                asyncio.ensure_future(self._pump(reader, target, self._up)),
                asyncio.ensure_future(self._pump(target_reader, writer, self._down)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass  # the broker is down: the client sees a reset
        finally:
            _reset(writer)
            if target is not None:
                _reset(target)

    async def _dial(self) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)  # noqa: FBT003 - it takes no name
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
        try:
            await self._loop.sock_connect(sock, (HOST, self._target_port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Direction) -> None:
        due_s = 0.0
        while True:
            await self._passing.wait()
            rate = way.bytes_a_second
            data = await reader.read(max(1, int(rate / _STEPS_A_SECOND)) if rate else _CHUNK_BYTES)
            await self._passing.wait()  # read just before the hole opened: it waits inside
            if not data:
                await asyncio.sleep(due_s - self._loop.time())  # until what is under way has arrived
                return
            rate = way.bytes_a_second  # it may have been set since the reading began
            if rate:
                await asyncio.sleep(len(data) / rate)
            way.passed_bytes += len(data)
            now_s = self._loop.time()
            due_s = max(now_s + way.delay_s, due_s + _APART_S)  # apart: equal times keep no order
            if due_s > now_s + _APART_S:
                self._loop.call_at(due_s, writer.write, data)
            else:
                writer.write(data)
                await writer.drain()


def _listen() -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. Small, so that a limit is felt by the sender and not hidden by the kernel.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SOCKET_BUFFER_BYTES)
    listener.bind((HOST, 0))
    listener.listen(64)
    listener.setblocking(False)  # noqa: FBT003 - it takes no name
    return listener


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once, with a reset: the other side must not take it for an orderly end."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
