"""What is said over the control socket, and what comes back: types and framing, no sockets.

A message is a length (u32, big-endian) and msgpack. Both ends are this program on one machine, run by one user, but
perhaps of two versions: fields are only added, with defaults, and unknown ones are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar

import msgspec

from hcom_replica.core.info import LiveInfo
from hcom_replica.errors import DaemonError, ReplicaError

MESSAGE_BYTES_MAX: Final = 4 << 20
"""A status with the counters of a thousand devices is far below; what is larger is no message of ours."""

T = TypeVar("T")


class Request(msgspec.Struct):
    """One wish.

    Attributes:
        op: what is wanted; see `operations`.
        args: its arguments by name.
    """

    op: str
    args: dict[str, Any] = {}


class Fault(msgspec.Struct):
    """An error of the tree in `hcom_replica.errors`, on its way to the other process."""

    kind: str
    message: str
    hint: str = ""


class Response(msgspec.Struct):
    """The answer: a result, or why there is none."""

    result: Any = None
    fault: Fault | None = None


class BridgeInfo(msgspec.Struct):
    """What a daemon says of its bridge to hcom.

    Attributes:
        hcom_dir: hcom's folder.
        port: of the endpoint on 127.0.0.1.
        worker: hcom's relay worker is connected.
        database: version of hcom's database; None while it cannot be read.
        waiting_events: arrivals that hcom was not given yet.
        under_way_events: given to hcom, and not seen in its database yet.
        refused: connections to the endpoint that were turned away or cut off.
        trouble: what is wrong, for people; empty when nothing is.
        hint: what to do about it.
    """

    hcom_dir: str
    port: int
    worker: bool = False
    database: int | None = None
    waiting_events: int = 0
    under_way_events: int = 0
    refused: int = 0
    trouble: str = ""
    hint: str = ""


class LegacyPeer(msgspec.Struct):
    """A machine that runs only hcom: its name in our group, whether it is there, its agents."""

    name: str
    here: bool = False
    agents: list[str] = []


class LegacyInfo(msgspec.Struct):
    """What a daemon says of the group of hcom's own relay that it has joined.

    Attributes:
        broker: URL.
        connected: the broker has taken us.
        carries: this device is the one that carries.
        carrier: name of the device that does; empty when none is known to.
        peers: machines of that group.
        waiting_events: what was not looked at, or not published yet.
        dropped: messages that were malformed.
        trouble: what is wrong, for people; empty when nothing is.
        hint: what to do about it.
    """

    broker: str
    connected: bool = False
    carries: bool = False
    carrier: str = ""
    peers: list[LegacyPeer] = []
    waiting_events: int = 0
    dropped: int = 0
    trouble: str = ""
    hint: str = ""


class DaemonInfo(msgspec.Struct):
    """What a daemon says of itself.

    Attributes:
        pid: its process.
        started_ms: wall clock of its start.
        enabled: whether it syncs (relay on, relay off).
        broker: URL of the broker it is connected to, or tries next; None when it knows none.
        problem: why it is not connected, for people; empty when it is, or has not tried.
        hint: what to do about it.
        live: what only the running machine knows.
        bridge: its bridge to hcom; None when there is none.
        legacy: the group of hcom's own relay that it has joined; None when it has joined none.
        first_problem: why the first of several brokers does not take us, for people; empty when it does.
    """

    pid: int
    started_ms: int
    enabled: bool
    broker: str | None
    problem: str
    hint: str
    live: LiveInfo
    bridge: BridgeInfo | None = None
    legacy: LegacyInfo | None = None
    first_problem: str = ""


class MoveAnswer(msgspec.Struct):
    """How a departure for another broker ended.

    Attributes:
        done: this device has gone where the group meets.
        online: whether a broker was connected at the end.
    """

    done: bool
    online: bool


class FlushAnswer(msgspec.Struct):
    """How a flush ended.

    Attributes:
        done: everything written here is safe elsewhere.
        safe_in: "device" or "broker" when done.
        reason: why not, for people.
        online: whether a broker was connected at the end.
    """

    done: bool
    safe_in: str | None
    reason: str
    online: bool


class CompareAnswer(msgspec.Struct):
    """How a comparison ended.

    Attributes:
        answered: the device has said what it holds since the call.
        settled: besides, nothing that it claims is being fetched or looked for any more, and it lacks nothing of ours.
        questions: origin, 16 hex digits -> how many questions the newest search for a difference in it took.
        online: whether a broker was connected at the end.
    """

    answered: bool
    settled: bool
    questions: dict[str, int]
    online: bool


class WaitAnswer(msgspec.Struct):
    """How a wait ended.

    Attributes:
        done: nothing known is missing here, by heads read since the call.
        missing_events: what is missing of what is known.
        heads_read: whether the broker's heads were read since the call.
        online: whether a broker was connected at the end.
    """

    done: bool
    missing_events: int
    heads_read: bool
    online: bool


class RemoteAnswer(msgspec.Struct):
    """What came of a wish to another device's hcom.

    Attributes:
        answered: something did; False when time was up.
        ok: it was done.
        result: as hcom says it.
    """

    answered: bool = False
    ok: bool = False
    result: Any = None


def pack(message: Request | Response) -> bytes:
    """Encode a message with its length."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(4, "big") + data


def unpack(data: bytes, shape: type[T]) -> T:
    """Decode a message without its length.

    Raises:
        DaemonError: it is not one.
    """
    try:
        return msgspec.msgpack.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DaemonError(f"the daemon and this program do not understand each other: {error}") from None


def read(result: Any, shape: type[T]) -> T:
    """Give a response's result its type.

    Raises:
        DaemonError: it has another.
    """
    try:
        return msgspec.convert(result, shape)
    except msgspec.ValidationError as error:
        raise DaemonError(
            f"the daemon is of another version: {error}", hint="hcom-replica relay daemon restart"
        ) from None


class Inbox:
    """Bytes as they come in, cut into messages."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield each message that `data` completes, without its length.

        Raises:
            DaemonError: a message is over the limit.
        """
        self._bytes += data
        while len(self._bytes) >= 4:
            size = int.from_bytes(self._bytes[:4], "big")
            if size > MESSAGE_BYTES_MAX:
                raise DaemonError("a message over the control socket is too large")
            if len(self._bytes) < 4 + size:
                return
            message = bytes(self._bytes[4 : 4 + size])
            del self._bytes[: 4 + size]
            yield message


def fault_of(error: ReplicaError) -> Fault:
    """An error, ready to be sent."""
    return Fault(error.kind, error.message, error.hint)


def error_of(fault: Fault) -> ReplicaError:
    """The error that was sent, as an object of its class; an unknown kind is a DaemonError."""
    classes: list[type[ReplicaError]] = [ReplicaError]
    for known in classes:
        classes += known.__subclasses__()
    for known in classes:
        if known.kind == fault.kind and known.__init__ is ReplicaError.__init__:
            return known(fault.message, hint=fault.hint)
    return DaemonError(fault.message, hint=fault.hint)
