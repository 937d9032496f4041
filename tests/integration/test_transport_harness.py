"""The harness itself: a bad network that is as bad as it says, and processes that are as clean as they say."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from hcom_replica.ports import LinkDown
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli, clean_environment
from hcom_replica.testing.real.proxy import ChaosProxy
from hcom_replica.testing.real.waiting import stays, wait_until
from tests.harness.links import LinkOwner


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=_echo_all, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def _echo_all(listener: socket.socket) -> None:
    with suppress(OSError):
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_echo, args=(peer,), daemon=True).start()


def _echo(peer: socket.socket) -> None:
    with peer, suppress(OSError):
        while data := peer.recv(65536):
            peer.sendall(data)


def _connect(proxy: ChaosProxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.settimeout(20)
    return client


def _receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.recv(size - len(data))
    return data


def test_proxy_passes_and_counts_bytes(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy, _connect(proxy) as client:
        client.sendall(b"hello")
        assert _receive(client, 5) == b"hello"
        wait_until(lambda: (proxy.bytes_up, proxy.bytes_down) == (5, 5), 20, "5 bytes counted both ways")
        assert (proxy.connections_now, proxy.connections_total) == (1, 1)


def test_proxy_cut_resets_until_healed(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy, _connect(proxy) as client:
        client.sendall(b"x")
        _receive(client, 1)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with _connect(proxy) as refused, pytest.raises(ConnectionResetError):
            refused.recv(1)
        proxy.heal()
        with _connect(proxy) as again:
            again.sendall(b"x")
            assert _receive(again, 1) == b"x"


def test_proxy_black_hole_holds_until_healed(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy, _connect(proxy) as client:
        proxy.black_hole()
        client.sendall(b"late")
        stays(lambda: proxy.bytes_up == 0, 0.1, "nothing passed")
        proxy.heal()
        assert _receive(client, 4) == b"late"


def test_proxy_drop_in_black_hole_loses_what_waits(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy, _connect(proxy) as client:
        client.sendall(b"x")
        _receive(client, 1)
        proxy.black_hole()
        client.sendall(b"lost")
        proxy.drop()
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        assert proxy.bytes_up == 1


def test_proxy_limit_slows_one_direction(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy, _connect(proxy) as client:
        proxy.limit(up_bytes_s=20_000)
        started = time.monotonic()
        client.sendall(bytes(10_000))
        _receive(client, 10_000)
        assert time.monotonic() - started > 0.4  # a floor set by the proxy's own sleeps, true on any machine


def test_proxy_delay_holds_everything_for_a_while_and_keeps_its_order(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy, _connect(proxy) as client:
        proxy.delay(0.1)
        started = time.monotonic()
        sent = b"".join(number.to_bytes(4, "big") for number in range(50_000))
        client.sendall(sent)
        assert _receive(client, len(sent)) == sent
        assert time.monotonic() - started >= 0.2  # a floor set by the proxy's own timers, true on any machine


def test_proxy_flap_goes_down_and_up_again(echo_port: int) -> None:
    with ChaosProxy(echo_port) as proxy:
        proxy.flap(up_s=0.05, down_s=0.05)
        wait_until(lambda: not _passes(proxy), 20, "a connection is reset")
        wait_until(lambda: _passes(proxy), 20, "a connection passes again")


def _passes(proxy: ChaosProxy) -> bool:
    with suppress(OSError), _connect(proxy) as client:
        client.sendall(b"x")
        return client.recv(1) == b"x"
    return False


def test_proxy_stop_leaves_no_thread(echo_port: int) -> None:
    proxy = ChaosProxy(echo_port).start()
    client = _connect(proxy)
    proxy.black_hole()
    proxy.stop()
    proxy.stop()
    client.close()
    assert "chaos-proxy" not in {thread.name for thread in threading.enumerate()}


def test_broker_paused_is_silent_and_resumes(own_broker: PrivateBroker) -> None:
    with LinkOwner(own_broker.address) as owner:
        own_broker.pause()
        owner.link.publish("a", b"x", retain=False, token=1)
        stays(lambda: owner.link.pending_bytes() == 1, 0.1, "unacknowledged")
        own_broker.resume()
        wait_until(lambda: owner.link.pending_bytes() == 0, 20, "acknowledged")
        assert owner.of(LinkDown) == []


def test_clean_environment_drops_all_hcom_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HCOM_DIR", "/nowhere")
    monkeypatch.setenv("HCOM_REPLICA_DIR", "/elsewhere")
    found = clean_environment(tmp_path / "data")
    assert {name: value for name, value in found.items() if name.startswith("HCOM_")} == {
        "HCOM_REPLICA_DIR": str(tmp_path / "data")
    }
    assert found["PATH"] == os.environ["PATH"]


def test_cli_wrong_command_gives_exit_code_and_no_traceback(tmp_path: Path) -> None:
    with Cli(tmp_path / "data") as cli:
        done = cli.run("no-such-command")
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_spawned_process_is_frozen_resumed_and_ended(tmp_path: Path) -> None:
    with Cli(tmp_path / "data") as cli:
        running = cli.spawn("broker", "--port", "0")
        running.pause()
        running.resume()
        running.kill()
        assert running.exit_code == -9
