"""Real daemons in processes of their own: start, find, stop, kill, reload, and two that sync through a broker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hcom_replica.api.opening import Parts, open_parts
from hcom_replica.daemon.client import DaemonClient
from hcom_replica.daemon.lock import holder
from hcom_replica.daemon.messages import FlushAnswer, WaitAnswer
from hcom_replica.daemon.process import ask, restart, start, stop
from hcom_replica.daemon.run import run_in_process
from hcom_replica.daemon.sockets import CONTROL, WAKE
from hcom_replica.daemon.wake import wake
from hcom_replica.errors import ConfigError, DaemonError
from hcom_replica.folder.config_edit import change_config
from hcom_replica.folder.paths import Folder
from hcom_replica.folder.state import STATE_VARIABLE
from hcom_replica.ids import EventId
from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import clean_environment, is_alive
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.event import Draft
from tests.harness.folders import device_folder, new_token

WAIT_S = 30.0


class Device:
    """A device of a group of two, its folder open here too."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.parts: Parts = open_parts(folder)
        self.client = DaemonClient(folder.root)

    def append(self, *, told: bool = True) -> EventId:
        (event,) = self.parts.log.append([Draft("test", "a", None, b"{}")], time.time_ns() // 1_000_000)
        if told:
            wake(self.folder.root)
        return event

    def gets(self, event: EventId) -> None:
        wait_until(lambda: self.parts.log.event(event), WAIT_S, lambda: f"{event} arrives; {self.log}")

    @property
    def log(self) -> str:
        path = self.folder.daemon_log
        return path.read_text() if path.exists() else ""

    def connected(self, *, connected: bool = True) -> None:
        wait_until(
            lambda: self.client.info().live.connected is connected, WAIT_S, lambda: f"connected {connected}; {self.log}"
        )

    def close(self) -> None:
        with suppress(DaemonError):
            stop(self.folder)
        self.parts.close()


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Daemons started here see nothing of whoever runs the tests."""
    for name in list(os.environ):
        if name.startswith("HCOM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", clean_environment(tmp_path)["PYTHONPATH"])


@pytest.fixture
def pair(own_broker: PrivateBroker, tmp_path: Path) -> Iterator[tuple[Device, Device]]:
    token = new_token(own_broker.url)
    devices = Device(device_folder(tmp_path / "boxa", token)), Device(device_folder(tmp_path / "boxb", token))
    yield devices
    for device in devices:
        device.close()


@pytest.fixture
def lonely(tmp_path: Path) -> Iterator[Device]:
    """A device whose broker is not there."""
    device = Device(device_folder(tmp_path / "lonely", new_token("mqtt://127.0.0.1:9")))
    yield device
    device.close()


def test_started_daemon_answers_and_holds_lock_and_sockets(lonely: Device) -> None:
    pid = start(lonely.folder)
    assert is_alive(pid)
    assert holder(lonely.folder.root) == pid
    found, info = ask(lonely.folder)
    assert info is not None
    assert found == info.pid == pid
    assert {path.name for path in lonely.folder.root.glob("*.sock")} == {CONTROL, WAKE}
    command = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    assert lonely.parts.token.encode().encode() not in command


def test_second_daemon_is_refused_by_pid(lonely: Device) -> None:
    pid = start(lonely.folder)
    with pytest.raises(DaemonError, match=rf"pid {pid}\b"):
        start(lonely.folder)


def test_stopped_daemon_is_gone_with_its_sockets(lonely: Device) -> None:
    pid = start(lonely.folder)
    assert stop(lonely.folder) == pid
    wait_until(lambda: not is_alive(pid), WAIT_S, "the process is gone")
    assert ask(lonely.folder) == (None, None)
    assert not list(lonely.folder.root.glob("*.sock"))
    assert stop(lonely.folder) is None
    assert "stopped" in lonely.log


def test_daemon_that_was_killed_leaves_nothing_in_the_way(lonely: Device) -> None:
    pid = start(lonely.folder)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: holder(lonely.folder.root) is None, WAIT_S, "the lock is free")
    assert (lonely.folder.root / CONTROL).exists()
    assert restart(lonely.folder) != pid
    assert lonely.client.info().pid != pid


def test_stop_over_the_control_socket_ends_the_daemon(lonely: Device) -> None:
    pid = start(lonely.folder)
    assert lonely.client.request("stop", int) == pid
    wait_until(lambda: holder(lonely.folder.root) is None, WAIT_S, "the lock is free")


def test_daemon_with_a_wrong_setting_says_so_and_does_not_start(lonely: Device) -> None:
    lonely.folder.config.write_text('[relay]\nbroker = "http://nowhere"\n')
    with pytest.raises(DaemonError) as caught:
        start(lonely.folder)
    assert "relay.broker" in caught.value.message
    assert "mqtts://" in caught.value.hint
    assert holder(lonely.folder.root) is None


def test_broker_that_is_not_there_is_shown_as_the_problem(lonely: Device) -> None:
    start(lonely.folder)
    wait_until(lambda: lonely.client.info().problem, WAIT_S, "a problem")
    info = lonely.client.info()
    assert (info.problem, info.broker) == ("connection refused", "mqtt://127.0.0.1:9")


def test_unknown_operation_is_refused(lonely: Device) -> None:
    start(lonely.folder)
    with pytest.raises(DaemonError, match="of another version"):
        lonely.client.request("dance", bool)


def test_two_daemons_bring_what_is_appended_to_the_other_side(pair: tuple[Device, Device]) -> None:
    one, two = pair
    before = one.append()
    for device in pair:
        start(device.folder)
    two.gets(before)
    two.gets(one.append())
    one.gets(two.append())
    two.gets(one.append(told=False))


def test_flush_and_wait_of_a_daemon_are_answered_when_done(pair: tuple[Device, Device]) -> None:
    one, two = pair
    for device in pair:
        start(device.folder)
    event = one.append()
    two.gets(event)
    answer = one.client.request("flush", FlushAnswer, timeout_ms=int(WAIT_S * 1_000), timeout_s=2 * WAIT_S)
    assert answer.done, answer.reason
    waited = two.client.request("wait", WaitAnswer, timeout_ms=int(WAIT_S * 1_000), timeout_s=2 * WAIT_S)
    assert (waited.done, waited.missing_events, waited.online) == (True, 0, True)


def test_flush_and_wait_without_a_daemon_sync_by_themselves(pair: tuple[Device, Device]) -> None:
    one, two = pair
    event = one.append()
    flushed = run_in_process(one.parts, "flush", FlushAnswer, timeout_ms=int(WAIT_S * 1_000))
    assert (flushed.done, flushed.safe_in) == (True, "broker")
    assert holder(one.folder.root) is None
    waited = run_in_process(two.parts, "wait", WaitAnswer, timeout_ms=int(WAIT_S * 1_000))
    assert waited.done
    assert two.parts.log.event(event) is not None


def test_wait_without_a_broker_ends_in_time_and_says_so(lonely: Device) -> None:
    answer = run_in_process(lonely.parts, "wait", WaitAnswer, timeout_ms=100)
    assert (answer.done, answer.online, answer.heads_read) == (False, False, False)


def test_hangup_makes_the_daemon_read_its_settings_again(pair: tuple[Device, Device]) -> None:
    one, _ = pair
    pid = start(one.folder)
    one.connected()
    change_config(one.folder.config, {"relay.enabled": False})
    os.kill(pid, signal.SIGHUP)
    one.connected(connected=False)
    assert not one.client.info().enabled
    change_config(one.folder.config, {"relay.enabled": True})
    assert one.client.request("reload", bool)
    one.connected()


def test_settings_that_are_wrong_are_refused_and_the_old_ones_stand(pair: tuple[Device, Device]) -> None:
    one, _ = pair
    pid = start(one.folder)
    one.connected()
    one.folder.config.write_text("[relay]\nenabled = 3\n")
    with pytest.raises(ConfigError, match=r"relay\.enabled"):
        one.client.request("reload", bool)
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "settings not usable" in one.log, WAIT_S, "a line in the log")
    assert one.client.info().live.connected


def test_daemon_comes_back_after_the_broker_was_away(pair: tuple[Device, Device], own_broker: PrivateBroker) -> None:
    one, two = pair
    for device in pair:
        start(device.folder)
        device.connected()
    own_broker.restart(forget=True)
    two.gets(one.append())


def test_daemon_stops_although_the_broker_does_not_answer(
    pair: tuple[Device, Device], own_broker: PrivateBroker
) -> None:
    one, _ = pair
    start(one.folder)
    one.connected()
    own_broker.pause()
    try:
        one.append()
        assert stop(one.folder) is not None
    finally:
        own_broker.resume()


def test_request_to_stop_syncing_reaches_the_others(pair: tuple[Device, Device]) -> None:
    one, two = pair
    for device in pair:
        start(device.folder)
        device.connected()
    two.gets(one.append())
    assert one.client.request("ask_off", bool)
    two.connected(connected=False)
    assert "enabled = false" in two.folder.config.read_text()
