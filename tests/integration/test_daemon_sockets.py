"""The wake socket and the control socket, on real sockets and a real selector."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from hcom_replica.core.effects import Now
from hcom_replica.daemon import sockets
from hcom_replica.daemon.bell import Bell
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.clock import SystemClock
from hcom_replica.daemon.control import ControlServer
from hcom_replica.daemon.messages import MESSAGE_BYTES_MAX, Inbox, Request, pack
from hcom_replica.daemon.sockets import CONTROL, WAKE, address
from hcom_replica.daemon.wake import WakeEar, wake
from hcom_replica.errors import ConfigError, DaemonError
from hcom_replica.testing.real.waiting import wait_until

WAIT_S = 10.0


@pytest.fixture(params=["short", "long", "long without /proc"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders whose sockets fit an address, or do not."""
    folder = tmp_path if request.param == "short" else tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True, exist_ok=True)
    if request.param == "long without /proc":
        monkeypatch.setattr(sockets, "_DESCRIPTORS", Path("/nonexistent"))
    return folder


def hears(fd: int) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, selectors.EVENT_READ)
        return bool(selector.select(0))


# --- wake ----------------------------------------------------------------------------------------------------


def test_wake_reaches_the_ear_in_any_folder(root: Path) -> None:
    ear = WakeEar(root)
    assert wake(root)
    assert hears(ear.fileno())
    ear.close()


def test_wakes_without_end_never_block_and_are_heard_at_once(tmp_path: Path) -> None:
    ear = WakeEar(tmp_path)
    assert sum(wake(tmp_path) for _ in range(2_000)) > 0
    ear.hear()
    assert not hears(ear.fileno())
    assert wake(tmp_path)
    ear.close()


def test_wake_with_nobody_there_is_told_and_harmless(tmp_path: Path) -> None:
    assert not wake(tmp_path)
    ear = WakeEar(tmp_path)
    ear.close()
    assert not (tmp_path / WAKE).exists()
    assert not wake(tmp_path)
    assert not wake(tmp_path / "missing")


def test_stale_sockets_are_replaced(tmp_path: Path) -> None:
    for name in (WAKE, CONTROL):
        with socket.socket(socket.AF_UNIX) as dead, address(tmp_path, name) as path:
            dead.bind(path)
    ear = WakeEar(tmp_path)
    assert wake(tmp_path)
    ear.close()
    with Serving(tmp_path) as serving:
        assert serving.client.request("echo", dict[str, Any], a=1) == {"a": 1}


def test_sockets_belong_to_their_owner_alone(tmp_path: Path) -> None:
    ear = WakeEar(tmp_path)
    with Serving(tmp_path):
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in (WAKE, CONTROL)} == {0o600}
    ear.close()


def test_bell_rings_from_another_thread_and_after_its_end() -> None:
    bell = Bell()

    def ring() -> None:
        for _ in range(1_000):
            bell.ring()

    thread = threading.Thread(target=ring)
    thread.start()
    thread.join()
    assert hears(bell.fileno())
    bell.hear()
    assert not hears(bell.fileno())
    bell.ring()
    assert hears(bell.fileno())
    bell.hear()
    bell.close()
    bell.ring()


# --- control -------------------------------------------------------------------------------------------------


class Slow:
    """A Later that ends when the test says so."""

    def __init__(self, until_ms: int | None = None) -> None:
        self.until_ms = until_ms
        self.done = False
        self.dropped = False

    def result(self, now: Now) -> tuple[bool, object]:
        return self.done, {"done": self.done}

    def drop(self) -> None:
        self.dropped = True


class Serving:
    """A control server in a thread; `slow` are the Laters it has given out."""

    def __init__(self, root: Path) -> None:
        self.slow: list[Slow] = []
        self.client = DaemonClient(root)
        self._clock = SystemClock()
        self._selector = selectors.DefaultSelector()
        self._server = ControlServer(root, self._selector, self._handle, self._clock.now)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def _handle(self, request: Request, now: Now) -> object:
        if request.op == "slow":
            wait_ms = request.args.get("wait_ms")
            self.slow.append(Slow(None if wait_ms is None else now.mono_ms + int(wait_ms)))
            return self.slow[-1]
        if request.op == "fail":
            raise ConfigError("line 3", hint="write it right")
        if request.op == "large":
            return "x" * (MESSAGE_BYTES_MAX - 100)
        return request.args

    def _serve(self) -> None:
        while not self._ending.is_set():
            for key, events in self._selector.select(0.01):
                key.data(events)
            self._server.poll(self._clock.now())

    def waiting_bytes(self) -> int:
        """Answers that no client has read yet."""
        return sum(len(client._outbox) for client in self._server._clients)

    def connect(self, root: Path) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(WAIT_S)
        with address(root, CONTROL) as path:
            sock.connect(path)
        return sock

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._server.close()
        self._selector.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as served:
        yield served


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    return thread, results


def test_request_is_answered_in_any_folder(root: Path) -> None:
    with Serving(root) as serving:
        assert serving.client.request("echo", dict[str, Any], a=[1, "b", None]) == {"a": [1, "b", None]}
    assert not (root / CONTROL).exists()


def test_error_is_raised_at_the_client_as_what_it_was(serving: Serving) -> None:
    with pytest.raises(ConfigError, match="line 3") as caught:
        serving.client.request("fail", bool)
    assert caught.value.hint == "write it right"


def test_large_answer_arrives_whole(serving: Serving) -> None:
    assert len(serving.client.request("large", str)) == MESSAGE_BYTES_MAX - 100


def test_slow_request_holds_up_nobody_and_is_answered_when_done(serving: Serving) -> None:
    thread, results = in_thread(lambda: serving.client.request("slow", dict[str, bool]))
    wait_until(lambda: serving.slow, WAIT_S, "the slow request is there")
    assert serving.client.request("echo", dict[str, Any]) == {}
    assert results == []
    serving.slow[0].done = True
    thread.join(WAIT_S)
    assert results == [{"done": True}]
    assert serving.slow[0].dropped


def test_slow_request_out_of_time_is_answered_with_what_there_is(serving: Serving) -> None:
    assert serving.client.request("slow", dict[str, bool], wait_ms=20) == {"done": False}
    assert serving.slow[0].dropped


def test_client_that_goes_away_takes_its_request_with_it(serving: Serving, tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="does not answer"):
        serving.client.request("slow", bool, timeout_s=0.05)
    wait_until(lambda: serving.slow and serving.slow[0].dropped, WAIT_S, "the request is dropped")


@pytest.mark.parametrize("junk", [b"\xff\xff\xff\xff", b"\x00\x00\x00\x01\xc1"])
def test_junk_ends_its_connection_or_is_refused_and_harms_nobody(serving: Serving, tmp_path: Path, junk: bytes) -> None:
    with serving.connect(tmp_path) as sock:
        sock.sendall(junk)
        sock.recv(1 << 16)
    assert serving.client.request("echo", dict[str, Any]) == {}


def test_client_that_only_asks_is_not_heard_until_it_reads_and_takes_no_memory(
    serving: Serving, tmp_path: Path
) -> None:
    """Each answer is larger than its question by far."""
    request = pack(Request("large"))
    with serving.connect(tmp_path) as sock:
        sock.sendall(request * 40)
        wait_until(lambda: serving.waiting_bytes() > MESSAGE_BYTES_MAX, WAIT_S, "answers wait")
        most, inbox, answers = serving.waiting_bytes(), Inbox(), 0
        assert serving.client.request("echo", dict[str, Any]) == {}
        while answers < 40:
            answers += sum(1 for _ in inbox.feed(sock.recv(1 << 20)))
            most = max(most, serving.waiting_bytes())
    assert most < 3 * MESSAGE_BYTES_MAX


def test_client_finds_no_daemon_where_none_is(tmp_path: Path) -> None:
    with pytest.raises(DaemonError, match="no daemon runs"):
        DaemonClient(tmp_path).info()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / CONTROL))
    with pytest.raises(DaemonError, match="no daemon runs"):
        DaemonClient(tmp_path).info()
