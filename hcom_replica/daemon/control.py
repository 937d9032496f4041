"""The daemon's control socket: several clients, none of which can hold up the loop.

Owns `daemon.sock` and its connections. A request is answered at once, or later when its `Later` is done; a client that
goes away takes its request with it.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from hcom_replica.core.effects import Now
from hcom_replica.daemon.messages import MESSAGE_BYTES_MAX, Inbox, Request, Response, fault_of, pack, unpack
from hcom_replica.daemon.sockets import CONTROL, address, remove
from hcom_replica.errors import DaemonError, ReplicaError

CLIENTS_MAX: Final = 64
"""More at once than any person or script needs; the next one waits in the socket's own queue."""


class Later(Protocol):
    """A request that takes time.

    Attributes:
        until_ms: monotonic ms at which it is answered with whatever there is; None waits for ever.
    """

    until_ms: int | None

    def result(self, now: Now) -> tuple[bool, Any]:
        """(whether it is done, the answer as things stand)."""

    def drop(self) -> None:
        """Nobody waits any more."""


Handle = Callable[[Request, Now], Any]
"""Answers a request, or returns a Later; raises ReplicaError."""


class ControlServer:
    """The listening socket and its clients.

    Args:
        root: the data folder, whose daemon lock the caller holds; a stale socket there is replaced.
        selector: the loop's; callbacks of one argument, the ready events, are its data.
        handle: answers requests.
        clock: stamps them.

    Raises:
        DaemonError: the socket cannot be made.
    """

    def __init__(self, root: Path, selector: selectors.BaseSelector, handle: Handle, clock: Callable[[], Now]) -> None:
        self._root = root
        self._selector = selector
        self._handle = handle
        self._clock = clock
        self._clients: list[_Client] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(0)
        try:
            remove(root, CONTROL)
            with address(root, CONTROL) as path:
                self._socket.bind(path)
            (root / CONTROL).chmod(0o600)
            self._socket.listen(CLIENTS_MAX)
        except OSError as error:
            self._socket.close()
            raise DaemonError(f"cannot make {root / CONTROL}: {error.strerror or error}") from error
        selector.register(self._socket, selectors.EVENT_READ, self._accept)

    def poll(self, now: Now) -> None:
        """Answer the requests that are done or out of time."""
        for client in list(self._clients):
            client.poll(now)

    def wake_at(self) -> int | None:
        """Monotonic ms at which `poll` is wanted."""
        return min((at for at in (client.until_ms for client in self._clients) if at is not None), default=None)

    def close(self) -> None:
        """Answer nobody any more; remove the socket. Idempotent."""
        for client in list(self._clients):
            client.close()
        if self._socket.fileno() >= 0:
            self._selector.unregister(self._socket)
            self._socket.close()
            remove(self._root, CONTROL)

    def _accept(self, _events: int) -> None:
        if len(self._clients) >= CLIENTS_MAX:
            self._clients[0].close()
        with suppress(OSError):
            sock, _ = self._socket.accept()
            self._clients.append(_Client(sock, self._selector, self._answer, self._clients.remove))

    def _answer(self, message: bytes) -> Any:
        return self._handle(unpack(message, Request), self._clock())


class _Client:
    """One connection: requests in, answers out, in order."""

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        answer: Callable[[bytes], Any],
        gone: Callable[[_Client], None],
    ) -> None:
        sock.settimeout(0)
        self._socket = sock
        self._selector = selector
        self._answer = answer
        self._gone = gone
        self._inbox = Inbox()
        self._outbox = bytearray()
        self._later: Later | None = None
        selector.register(sock, selectors.EVENT_READ, self._ready)

    @property
    def until_ms(self) -> int | None:
        """Monotonic, when an answer is due that is waited for; None when none is, or it may take for ever."""
        return None if self._later is None else self._later.until_ms

    def poll(self, now: Now) -> None:
        """Send the answer that is waited for, if it has come or its time is up."""
        later = self._later
        if later is None:
            return
        done, result = later.result(now)
        if done or (later.until_ms is not None and now.mono_ms >= later.until_ms):
            self._forget_later()
            self._send(Response(result))

    def close(self) -> None:
        """Give the socket back, and tell `gone`. Idempotent."""
        self._forget_later()
        if self._socket.fileno() >= 0:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._gone(self)

    def _forget_later(self) -> None:
        later, self._later = self._later, None
        if later is not None:
            later.drop()

    def _ready(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._flush()
                if self._hears():
                    self._hear(b"")
            if events & selectors.EVENT_READ:
                self._read()
        except (OSError, DaemonError):
            self.close()

    def _read(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            self.close()
            return
        self._hear(data)

    def _hear(self, data: bytes) -> None:
        """Take requests, as long as their answers are read: who only asks is not heard further."""
        for message in self._inbox.feed(data):
            self._take(message)
            if not self._hears():
                return

    def _hears(self) -> bool:
        return len(self._outbox) <= MESSAGE_BYTES_MAX

    def _take(self, message: bytes) -> None:
        """Answer one request; a client that asks again before its answer came has given up the first."""
        self._forget_later()
        try:
            result = self._answer(message)
        except ReplicaError as error:
            self._send(Response(fault=fault_of(error)))
            return
        if hasattr(result, "until_ms"):
            self._later = result
        else:
            self._send(Response(result))

    def _send(self, response: Response) -> None:
        self._outbox += pack(response)
        try:
            self._flush()
        except OSError:
            self.close()

    def _flush(self) -> None:
        with suppress(BlockingIOError):
            sent = self._socket.send(self._outbox)
            del self._outbox[:sent]
        interest = selectors.EVENT_READ if self._hears() else 0
        interest |= selectors.EVENT_WRITE if self._outbox else 0
        self._selector.modify(self._socket, interest, self._ready)
