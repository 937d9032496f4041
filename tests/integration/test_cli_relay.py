"""The relay commands with real daemons and a private broker: make, join, sync, lag, leave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli, is_alive
from hcom_replica.testing.real.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Cli]:
    with Cli(tmp_path / "boxe") as cli:
        yield cli


@pytest.fixture
def tuk(tmp_path: Path) -> Iterator[Cli]:
    with Cli(tmp_path / "tuka") as cli:
        yield cli


def url(broker: PrivateBroker) -> str:
    return f"mqtt://127.0.0.1:{broker.port}"


def make(cli: Cli, broker: PrivateBroker, name: str = "BOXE") -> dict[str, Any]:
    made: dict[str, Any] = cli.json("relay", "new", "--broker", url(broker), "--name", name)
    return made


def everything(cli: Cli) -> str:
    return cli.ok("events", "--json", "-n", "all", "--system")


def test_new_and_connect_bring_two_devices_to_the_same_bytes(box: Cli, tuk: Cli, broker: PrivateBroker) -> None:
    made = make(box, broker)
    assert set(made) == {"token", "group", "device", "broker"}
    assert (made["device"], made["broker"]) == ("BOXE", url(broker))
    joined = tuk.json("relay", "connect", "-", "--name", "TUKA", "--timeout", "30", stdin=made["token"] + "\n")
    assert (joined["device"], joined["group"], joined["answered"], joined["peers"]) == ("TUKA", made["group"], True, 1)
    box.ok("emit", "k", "--agent", "luna", "--data", '{"from": "box"}')
    tuk.ok("emit", "k", "--agent", "luna", "--data", '{"from": "tuk"}')
    for cli in (box, tuk):
        assert cli.json("flush", "--timeout", "30")["safe_in"] == "device"
        assert cli.json("wait", "--timeout", "30")["complete"] is True
    # One may still be letting the other in: that is an event, too.
    wait_until(lambda: everything(box) == everything(tuk), 30, "both print the same")
    assert {line["name"] for line in box.json_lines("events")} == {"luna:BOXE", "luna:TUKA"}
    assert box.json("status")["devices"][0]["device"] == "TUKA"
    assert [peer["device"] for peer in tuk.json("relay")["peers"]] == ["BOXE"]
    assert made["token"] not in (box.folder / "daemon.log").read_text()


def test_connect_with_events_written_before_appends_them_to_the_group(
    box: Cli, tuk: Cli, broker: PrivateBroker
) -> None:
    token = make(box, broker)["token"]
    for number in range(3):
        tuk.ok("emit", "early", "--agent", "nova", "--data", str(number))
    before = tuk.json_lines("events")
    joined = tuk.json("relay", "connect", token)
    assert joined["reappended_events"] == 3
    after = tuk.json_lines("events")
    assert [(line["data"], line["time"]) for line in after] == [(line["data"], line["time"]) for line in before]
    assert {line["origin"] for line in after}.isdisjoint({line["origin"] for line in before})
    box.ok("wait", "--timeout", "30")
    wait_until(lambda: len(box.json_lines("events", "--kind", "early")) == 3, 30, "the early events arrive")


def test_connect_to_a_group_where_nobody_answers_says_so(box: Cli, tuk: Cli, own_broker: PrivateBroker) -> None:
    token = make(box, own_broker)["token"]
    box.ok("relay", "forget")
    said = tuk.ok("relay", "connect", token, "--timeout", "0.5")
    assert "joined, nobody has answered yet" in said
    assert "the token may be old" in said


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "not a join token"),
        ("hcr1_AAAA", "cut off"),
        ("hcr1_" + "A" * 130, "version 0"),
        (
            "BNlEumv0FEHkrMXeoxdEbp62Ci09ihQWCeZuQQHhIeQDLuiyOzd5t4RPxKfoxb25b21xdHQ6Ly8xMjcuMC4wLjE6MTg4MzE",
            "hcom's own",
        ),
    ],
)
def test_connect_with_a_wrong_token_says_what_is_wrong(box: Cli, token: str, why: str) -> None:
    done = box.run("relay", "connect", "-", stdin=token)
    assert done.returncode == 2
    assert done.stderr.startswith("error[token]: ")
    assert why in done.stderr
    assert not box.folder.exists()


def test_connect_with_a_token_without_an_end_does_not_read_it_all(box: Cli) -> None:
    done = box.run("relay", "connect", "-", stdin="hcr1_" + "A" * 70_000)
    assert done.returncode == 2
    assert "more bytes than a join token" in done.stderr


def test_new_on_a_folder_of_a_group_is_refused_with_the_way_out(box: Cli, tuk: Cli, broker: PrivateBroker) -> None:
    make(box, broker)
    other = make(tuk, broker)["token"]
    for command in (["new", "--broker", url(broker)], ["connect", other]):
        done = box.run("relay", *command)
        assert done.returncode == 2
        assert "belongs to group" in done.stderr
        assert "relay forget" in done.stderr


def test_new_with_a_broker_that_does_not_answer_changes_nothing(box: Cli) -> None:
    done = box.run("relay", "new", "--broker", "mqtt://127.0.0.1:1")
    assert done.returncode == 4
    assert done.stderr.startswith("mqtt://127.0.0.1:1: ") or "error[broker]: " in done.stderr
    assert "hint: " in done.stderr
    assert not box.folder.exists()


@pytest.mark.parametrize("broker_url", ["http://x", "mqtt://u:p@x", "mqtt://x:port"])
def test_new_with_a_broker_url_that_cannot_be_read_exits_2(box: Cli, broker_url: str) -> None:
    done = box.run("relay", "new", "--broker", broker_url)
    assert done.returncode == 2
    assert done.stderr.startswith("error[config]: ")


def test_off_stops_syncing_and_on_goes_on(box: Cli, tuk: Cli, broker: PrivateBroker) -> None:
    token = make(box, broker)["token"]
    tuk.ok("relay", "connect", token, "--name", "TUKA")
    pid = box.daemon_pid()
    box.ok("relay", "off")
    assert pid is not None
    wait_until(lambda: not is_alive(pid), 20, "the daemon's process is gone")
    assert box.json("relay")["enabled"] is False
    box.ok("emit", "k")
    assert box.run("flush", "--timeout", "1").returncode == 4
    assert box.run("wait", "--timeout", "1").returncode == 4
    box.ok("relay", "on")
    assert box.json("flush", "--timeout", "30", "--device", "TUKA") == {
        "safe": True,
        "safe_in": "device",
        "reason": None,
    }


def test_off_all_asks_the_others_to_stop(box: Cli, tuk: Cli, broker: PrivateBroker) -> None:
    token = make(box, broker)["token"]
    tuk.ok("relay", "connect", token)
    wait_until(lambda: box.json("relay")["broker"]["connected"], 30, "connected")
    wait_until(lambda: tuk.json("relay")["broker"]["connected"], 30, "connected")
    box.ok("relay", "off", "--all")
    wait_until(lambda: not tuk.json("relay")["enabled"], 30, "the other has stopped")
    assert box.json("relay")["enabled"] is False


def test_forget_leaves_the_group_and_keeps_the_log_aside(box: Cli, own_broker: PrivateBroker) -> None:
    make(box, own_broker)
    box.ok("emit", "k")
    kept = box.json("relay", "forget")["kept_log"]
    assert (Path(kept) / "data.mdb").exists()
    assert box.daemon_pid() is None
    assert box.run("relay", "token").returncode == 2
    assert make(box, own_broker)["device"] == "BOXE"
    assert box.json_lines("events") == []


def test_connect_with_an_old_token_leaves_the_daemon_as_it_was(box: Cli, broker: PrivateBroker) -> None:
    old = make(box, broker)["token"]
    box.ok("relay", "rotate")
    pid = box.daemon_pid()
    assert pid is not None
    done = box.run("relay", "connect", old)
    assert done.returncode == 2
    assert "key epoch 1" in done.stderr
    assert box.daemon_pid() == pid


def test_new_with_a_file_of_authorities_that_is_not_there_changes_nothing(box: Cli, broker: PrivateBroker) -> None:
    done = box.run("relay", "new", "--broker", url(broker), "--ca-file", "nofile.pem")
    assert done.returncode == 2
    assert done.stderr.startswith("error[config]: there is no file nofile.pem\nhint: ")
    assert not box.folder.exists()


def test_logs_as_json_are_the_lines_of_the_log(box: Cli, broker: PrivateBroker) -> None:
    make(box, broker)
    with (box.folder / "daemon.log").open("a") as log:
        log.write("Traceback\x1b[31m (most recent call last)\n")
    lines = box.json_lines("relay", "daemon", "logs")
    assert lines[0]["time"].endswith("Z")
    assert (lines[0]["level"], lines[0]["text"].partition(" ")[0]) == ("info", "started")
    assert {"time": None, "level": None, "text": "Traceback\x1b[31m (most recent call last)"} in lines


def test_flush_alone_is_safe_in_the_broker(box: Cli, own_broker: PrivateBroker) -> None:
    make(box, own_broker)
    box.ok("emit", "k")
    assert box.json("flush", "--timeout", "30")["safe_in"] == "broker"
    box.ok("relay", "daemon", "stop")
    box.ok("emit", "k")
    assert box.json("flush", "--timeout", "30")["safe_in"] == "broker"
    assert box.daemon_pid() is None


def test_flush_and_wait_without_a_broker_exit_4(box: Cli, own_broker: PrivateBroker) -> None:
    box.ok("emit", "k")
    assert box.run("flush").returncode == 4
    assert box.run("wait").returncode == 4
    make(box, own_broker)
    own_broker.stop()
    box.ok("emit", "k")
    for command in ("flush", "wait"):
        done = box.run(command, "--timeout", "1")
        assert done.returncode == 4
        assert done.stderr.startswith("error[broker]: ")


def test_status_lag_names_what_another_device_lacks(box: Cli, tuk: Cli, own_broker: PrivateBroker) -> None:
    token = make(box, own_broker)["token"]
    tuk.ok("relay", "connect", token, "--name", "TUKA")
    box.ok("flush", "--device", "TUKA", "--timeout", "30")
    tuk.ok("relay", "daemon", "stop")
    box.ok("import", "-", stdin='{"kind":"k"}\n' * 25)
    status = box.json("status", "--lag")
    assert status["outbound"]["behind_events"] == 25
    (row,) = status["devices"]
    assert (row["device"], row["outbound_behind_events"]) == ("TUKA", 25)
    assert box.run("status", "--fail-over", "24").returncode == 1
    assert box.run("status", "--fail-over", "25").returncode == 0
    tuk.ok("relay", "daemon", "start")
    wait_until(lambda: box.json("status")["outbound"]["behind_events"] == 0, 30, "TUKA has everything")


def test_daemon_commands_start_stop_and_refuse_a_second(box: Cli, broker: PrivateBroker) -> None:
    assert box.run("relay", "daemon", "start").returncode == 2
    make(box, broker)
    status = box.json("relay", "daemon")
    assert status["running"] is True
    for command in (["relay", "daemon", "start"], ["run"]):
        done = box.run(*command)
        assert done.returncode == 2
        assert f"(pid {status['pid']})" in done.stderr
        assert str(box.folder) in done.stderr
    assert box.json("relay", "daemon", "restart")["pid"] != status["pid"]
    assert "started" in box.ok("relay", "daemon", "logs")
    box.ok("relay", "daemon", "stop")
    assert box.ok("relay", "daemon", "stop") == "no daemon ran\n"
    assert box.json("relay", "daemon", "status")["running"] is False


def test_run_in_the_foreground_ends_in_order_on_interrupt(box: Cli, broker: PrivateBroker) -> None:
    make(box, broker)
    box.ok("relay", "daemon", "stop")
    running = box.spawn("run")
    running.wait_for_output(f"pid {running.pid}")
    assert box.daemon_pid() == running.pid
    running.interrupt()
    assert running.wait() == 0
    assert "stopped" in box.ok("relay", "daemon", "logs")


def test_devices_with_one_name_both_show_a_suffix_on_both(box: Cli, tuk: Cli, broker: PrivateBroker) -> None:
    token = make(box, broker)["token"]
    tuk.ok("relay", "connect", token, "--name", "BOXE", "--timeout", "30")
    for cli in (box, tuk):
        cli.ok("wait", "--timeout", "30")
    lists = [sorted(row["device"] for row in cli.json_lines("devices")) for cli in (box, tuk)]
    wait_until(lambda: len(box.json_lines("devices")) == 2, 30, "both are known")
    lists = [sorted(row["device"] for row in cli.json_lines("devices")) for cli in (box, tuk)]
    assert lists[0] == lists[1]
    assert all(name.startswith("BOXE-") and len(name) == 7 for name in lists[0])
    assert all("name claimed twice" in row["flags"] for row in box.json_lines("devices"))


def test_retire_takes_a_device_out_of_the_lag(box: Cli, tuk: Cli, broker: PrivateBroker) -> None:
    token = make(box, broker)["token"]
    tuk.ok("relay", "connect", token, "--name", "TUKA")
    box.ok("flush", "--device", "TUKA", "--timeout", "30")
    tuk.ok("relay", "daemon", "stop")
    box.ok("emit", "k")
    assert box.json("status")["outbound"]["behind_events"] == 1
    box.ok("devices", "retire", "TUKA")
    assert box.json("status")["outbound"]["behind_events"] == 0
    flags = {row["device"]: row["flags"] for row in box.json_lines("devices")}
    assert flags["TUKA"] == ["retired"]
    assert box.run("devices", "retire", "BOXE").returncode == 2


def test_doctor_with_everything_well_exits_0(box: Cli, broker: PrivateBroker) -> None:
    make(box, broker)
    findings = box.json_lines("doctor")
    assert {finding["check"] for finding in findings} >= {
        "folder",
        "config",
        "store",
        "clock",
        "daemon",
        "broker",
        "hcom",
    }
    assert not [finding for finding in findings if finding["state"] == "problem"]
    box.ok("relay", "daemon", "stop")
    assert box.run("doctor").returncode == 1


def test_demo_shows_convergence_and_leaves_nothing_behind(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    cli = Cli(tmp_path / "replica", {"TMPDIR": str(temporary)})
    said = cli.ok("demo")
    assert said.endswith("identical\n")
    assert "outbound  25 events" in said
    assert "outbound  0 events" in said
    assert list(temporary.iterdir()) == []
    assert not cli.folder.exists()


def test_new_keeps_a_config_that_was_written_by_hand(box: Cli, broker: PrivateBroker) -> None:
    box.folder.mkdir(mode=0o700)
    (box.folder / "config.toml").write_text("# mine\n[mailbox]\nslots = 8 # small\n")
    make(box, broker)
    text = (box.folder / "config.toml").read_text()
    assert text.startswith("# mine\n[mailbox]\nslots = 8 # small\n")
    assert json.dumps(url(broker)) in text
