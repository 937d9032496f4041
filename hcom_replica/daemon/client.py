"""Asking the folder's daemon: one connection a request."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, Final, TypeVar

from hcom_replica.daemon.messages import DaemonInfo, Inbox, Request, Response, error_of, pack, read, unpack
from hcom_replica.daemon.sockets import CONTROL, address
from hcom_replica.errors import DaemonError

T = TypeVar("T")

ANSWER_S: Final = 10.0
"""A daemon that is alive answers in milliseconds; one that is writing a large ingest to a slow disk, in seconds."""


class DaemonClient:
    """The daemon of a folder, seen from another process.

    Args:
        root: the data folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def request(self, op: str, shape: type[T], *, timeout_s: float | None = ANSWER_S, **args: Any) -> T:
        """Ask, and wait for the answer.

        Args:
            op: what is wanted; see `operations`.
            shape: type of the result.
            timeout_s: how long to wait for the answer; None waits for ever.
            args: arguments of `op`.

        Raises:
            DaemonError: no daemon runs, or it does not answer.
            ReplicaError: what the daemon answered instead of a result, of the class it was raised as.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(timeout_s)
            try:
                with address(self._root, CONTROL) as path:
                    sock.connect(path)
                sock.sendall(pack(Request(op, args)))
                response = unpack(_receive(sock), Response)
            except TimeoutError:
                raise DaemonError("the daemon does not answer", hint="hcom-replica relay daemon restart") from None
            except (FileNotFoundError, ConnectionRefusedError):
                raise DaemonError("no daemon runs", hint="hcom-replica relay daemon start") from None
            except OSError as error:
                raise DaemonError(f"the daemon cannot be reached: {error.strerror or error}") from None
        if response.fault is not None:
            raise error_of(response.fault)
        return read(response.result, shape)

    def info(self, timeout_s: float = ANSWER_S) -> DaemonInfo:
        """Ask the daemon how it is.

        Raises:
            DaemonError: none runs, or it does not answer.
        """
        return self.request("status", DaemonInfo, timeout_s=timeout_s)


def _receive(sock: socket.socket) -> bytes:
    inbox = Inbox()
    while data := sock.recv(1 << 16):
        for message in inbox.feed(data):
            return message
    raise DaemonError("the daemon ended before it answered")
