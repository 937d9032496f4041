"""Bad input: a clear error of the right kind, a hint, the right exit code, no traceback, and nothing lost."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hcom_replica.folder.paths import Folder
from hcom_replica.store.kv import Table
from hcom_replica.store.lmdb_kv import LmdbKv
from hcom_replica.store.schema import FORMAT, Meta
from hcom_replica.testing.real.brokers import MosquittoBroker, PrivateBroker, free_port, mosquitto_path
from hcom_replica.testing.real.processes import Cli
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.token import JoinToken
from tests.harness.group import Group

TOKEN = JoinToken(GroupKeys(bytes(16), bytes(32), 1), ("mqtt://127.0.0.1:1",), bytes(32)).encode()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with Cli(tmp_path / "replica") as made:
        yield made


def refused(cli: Cli, *arguments: str, kind: str, code: int, hint: str, stdin: str | None = None) -> str:
    """Run a command that must be refused in that way; gives what it says."""
    done = cli.run(*arguments, stdin=stdin)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith(f"error[{kind}]: "), done.stderr
    assert "hint: " in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


# --- tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "what", "hint"),
    [
        ("", "not a join token", "relay token"),
        ("hello", "not a join token", "relay token"),
        (TOKEN[:20], "cut off", "copy it again"),
        (TOKEN[:-3], "cut off", "copy it again"),
        (TOKEN[:30] + ("A" if TOKEN[30] != "A" else "B") + TOKEN[31:], "mistyped", "copy it again"),
        (TOKEN + "x!", "characters", "copy it again"),
    ],
)
def test_connect_with_a_wrong_token_says_what_is_wrong_and_changes_nothing(
    cli: Cli, token: str, what: str, hint: str
) -> None:
    said = refused(cli, "relay", "connect", "-", kind="token", code=2, hint=hint, stdin=token)
    assert what in said
    assert token not in said or len(token) < 6
    assert not cli.folder.exists()


# --- brokers ---------------------------------------------------------------------------------------------------


def test_new_on_a_port_where_nobody_listens_exits_4_and_changes_nothing(cli: Cli) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    said = refused(cli, "relay", "new", "--broker", url, kind="broker", code=4, hint="check the host name")
    assert "connection refused" in said
    assert not cli.folder.exists()


def test_new_on_something_that_drops_every_connection_exits_4(cli: Cli) -> None:
    with dropping_server() as port:
        refused(cli, "relay", "new", "--broker", f"mqtt://127.0.0.1:{port}", kind="broker", code=4, hint="mqtts://")
    assert not cli.folder.exists()


@pytest.mark.slow
@pytest.mark.mosquitto
def test_broker_that_begins_to_refuse_is_named_by_status_and_loses_nothing(tmp_path: Path) -> None:
    with mosquitto(tmp_path / "broker") as broker, Group(tmp_path, broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        settings = broker.folder / "mosquitto.conf"
        open_to_all = settings.read_text()
        broker.stop()
        settings.write_text(open_to_all.replace("allow_anonymous true", "allow_anonymous false"))
        broker.start()
        a.wait_for_status(lambda status: any("not authorized" in text for text in status.warnings), "a warning")
        assert a.status()["broker"]["connected"] is False
        name = a.emit()
        refused(a.cli, "flush", "--timeout", "2", kind="broker", code=4, hint="--password-file")
        broker.stop()
        settings.write_text(open_to_all)
        broker.start()
        for laptop in (a, b):
            laptop.cli.run("wait", "--timeout", "20")
        b.wait_for_events(1)
        assert [event["id"] for event in b.events()] == [name]


# --- folders ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_folder_of_a_group_refuses_another_one_and_stays_in_its_own(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as one, Group(tmp_path, own_broker) as other:
        a, b = one.add("BOXA"), other.add("BOXB")
        a.emit("1")
        for arguments, stdin in ((("relay", "connect", "-"), other.token), (("relay", "new"), None)):
            refused(a.cli, *arguments, kind="config", code=2, hint="relay forget", stdin=stdin)
        assert a.cli.json("relay", "token")["token"] == one.token
        assert a.cli.json("flush")["safe"] is True
        assert b.count() == 0

        # Logs that were swapped are not read, and not written.
        for laptop in (a, b):
            laptop.stop()
        (a.folder / "log").rename(tmp_path / "aside")
        (b.folder / "log").rename(a.folder / "log")
        for command in (["emit", "k"], ["events"], ["status"]):
            refused(a.cli, *command, kind="store-format", code=3, hint="--dir")
        assert a.cli.run("relay", "daemon", "start").returncode != 0
        (a.folder / "log").rename(b.folder / "log")
        (tmp_path / "aside").rename(a.folder / "log")
        assert [event["data"] for event in a.events()] == [1]


def test_folder_of_a_newer_format_is_refused_and_left_alone(cli: Cli) -> None:
    cli.ok("emit", "k", "--data", "1")
    set_format(cli.folder, FORMAT + 1)
    before = (cli.folder / "log" / "data.mdb").read_bytes()
    for command in (["emit", "k"], ["events"], ["status"], ["import", "-"]):
        refused(cli, *command, kind="store-format", code=3, hint="update hcom-replica")
    assert (cli.folder / "log" / "data.mdb").read_bytes() == before
    set_format(cli.folder, FORMAT)
    assert [event["data"] for event in cli.json_lines("events")] == [1]


def test_full_disk_refuses_what_does_not_fit_and_loses_nothing(cli: Cli) -> None:
    for number in range(5):
        cli.ok("emit", "k", "--data", str(number))
    size = (cli.folder / "log" / "data.mdb").stat().st_size
    lines = '{"kind": "k", "data": "' + "x" * 1_000 + '"}\n'
    path = cli.folder.parent / "lines.jsonl"
    path.write_text(lines * 4_000)
    for source, text in ((str(path), ""), ("-", lines * 4_000)):
        done = limited(cli, size + 65_536, "import", source, stdin=text)
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("error[store-full]: ")
        assert "hint: " in done.stderr
    assert [event["data"] for event in cli.json_lines("events", "-n", "all")] == [0, 1, 2, 3, 4]
    name = cli.ok("emit", "k", "--data", "5").strip()
    assert name.endswith(":7"), "the seq of what was refused is free again"
    assert cli.json("import", str(path))["imported_events"] == 4_000


@pytest.mark.slow
def test_daemon_on_a_full_disk_lives_on_and_catches_up_when_there_is_room(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with small_disk(tmp_path / "disk", "3m") as disk, Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        small = Group(disk, own_broker)
        small.token = group.token
        with small:
            b = small.add("BOXB")
            pid = b.cli.daemon_pid()
            lines = "".join(f'{{"kind": "k", "data": "{number}{"x" * 1_000}"}}\n' for number in range(4_000))
            assert a.cli.json("import", "-", stdin=lines)["imported_events"] == 4_000
            b.wait_for_log("store failed")
            assert b.cli.daemon_pid() == pid
            done = b.cli.run("import", "-", stdin=lines)
            assert (done.returncode, done.stderr[:19]) == (3, "error[store-full]: ")
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            b.cli.run("wait", "--timeout", "20")
            b.wait_for_events(4_000)
            assert b.cli.daemon_pid() == pid
            assert b.canonical() == a.canonical()


# --- lines, daemons, settings ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_import_of_bad_lines_names_them_and_publishes_nothing(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        good = '{"kind": "k", "data": 1}\n'
        for bad in ("{", '{"data": 1}', '{"kind": "k", "time": "soon"}', '{"kind": "_hello"}', "\x00"):
            said = refused(
                a.cli, "import", "-", kind="usage", code=2, hint="a line looks like", stdin=good * 9 + bad + "\n" + good
            )
            assert "line 10: " in said
        assert a.count() == 0
        a.cli.ok("import", "-", stdin=good)
        b.wait_for_events(1)


@pytest.mark.slow
def test_second_daemon_is_refused_by_name_and_pid(tmp_path: Path, own_broker: PrivateBroker) -> None:
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        pid = a.cli.daemon_pid()
        for command in (("run",), ("relay", "daemon", "start")):
            said = refused(a.cli, *command, kind="daemon", code=2, hint="relay daemon")
            assert f"pid {pid}" in said
            assert str(a.folder) in said
        assert a.cli.daemon_pid() == pid


@pytest.mark.slow
def test_config_mistake_made_while_the_daemon_runs_is_named_and_stops_no_sync(
    tmp_path: Path, own_broker: PrivateBroker
) -> None:
    with Group(tmp_path, own_broker) as group:
        a, b = group.add("BOXA"), group.add("BOXB")
        name = a.emit("1")
        config = a.folder / "config.toml"
        text = config.read_text()
        for mistake, what in (("[mailbox]\nslots = 'many'", "mailbox.slots"), ("[mailbox", "not TOML")):
            assert "[mailbox]" in text
            config.write_text(text.replace("[mailbox]", mistake))
            said = refused(a.cli, "emit", "k", kind="config", code=2, hint="")
            assert what in said
            assert f"{config}:" in said
        refused(a.cli, "relay", "daemon", "restart", kind="config", code=2, hint="")
        config.write_text(text)
        b.wait_for_events(1)
        assert [event["id"] for event in b.events()] == [name]
        a.emit("2")
        b.wait_for_events(2)


# --- what this file needs ------------------------------------------------------------------------------------------


@contextmanager
def dropping_server() -> Iterator[int]:
    """A port where every connection is accepted and closed at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    server.accept()[0].close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@contextmanager
def mosquitto(folder: Path) -> Iterator[MosquittoBroker]:
    """A running Mosquitto."""
    if mosquitto_path() is None:
        pytest.skip("mosquitto is not installed: the embedded broker refuses nobody")
    with MosquittoBroker(folder) as broker:
        yield broker


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk with little room."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no small disk can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def limited(cli: Cli, file_bytes_max: int, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    """Run a command to which the disk seems full once a file has so many bytes."""
    command = ["bash", "-c", f'ulimit -f {file_bytes_max // 1024}; exec "$@"', "limited", *cli._command(arguments)]
    return subprocess.run(
        command, env=cli._environment, input=stdin, capture_output=True, text=True, timeout=60, check=False
    )


def set_format(folder: Path, version: int) -> None:
    """Make a log one of another format."""
    kv = LmdbKv(Folder(folder).log)
    with kv.write() as txn:
        txn.put(Table.META, Meta.FORMAT, version.to_bytes(4, "big"))
    kv.close()
