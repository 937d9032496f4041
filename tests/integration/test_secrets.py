"""Canaries: whatever a device knows that nobody else may, it is in no argument, environment, log, output or report."""

from __future__ import annotations

import os
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import PrivateBroker
from hcom_replica.testing.real.processes import Cli
from hcom_replica.wire.token import decode_token

pytestmark = pytest.mark.slow
PASSWORD = "canary-of-a-password"
KEYRING = f'def get_password(service, username):\n    return "{PASSWORD}" if service == "ours" else None\n'
BROKEN = """
import hcom_replica.api.devices as devices
def broken(replica):
    raise RuntimeError(repr(replica.parts))
devices.list_devices = broken
"""
CALLS = [
    ["status"], ["status", "--lag"], ["relay"], ["relay", "status"], ["devices"], ["events", "--system"], ["config"],
    ["doctor"], ["relay", "daemon"], ["emit", "k"], ["flush", "--timeout", "30"], ["wait", "--timeout", "30"],
]  # fmt: skip


def spellings(secret: bytes) -> set[bytes]:
    return {secret, secret.hex().encode(), b64encode(secret).rstrip(b"="), urlsafe_b64encode(secret).rstrip(b"=")}


def canaries(folder: Path, token: str) -> set[bytes]:
    seed = (folder / "device.key").read_bytes()
    return {PASSWORD.encode(), token.encode(), token.encode()[20:60], *spellings(seed),
            *spellings(decode_token(token).keys.secret)}  # fmt: skip


def found(secrets: set[bytes], text: bytes) -> list[bytes]:
    return [secret for secret in secrets if secret in text]


def everything_said(cli: Cli) -> bytes:
    """What all commands print that are not asked for the token, as text and as JSON."""
    said = b""
    for call in CALLS:
        for more in ([], ["--json"]):
            done = cli.run(*call, *more)
            assert done.returncode in (0, 1), done.stderr
            said += (done.stdout + done.stderr).encode()
    said += cli.ok("relay", "daemon", "logs").encode()
    return said


@pytest.mark.parametrize("kept_in", ["file", "keyring"])
def test_secrets_are_nowhere_but_in_their_files(tmp_path: Path, own_broker: PrivateBroker, kept_in: str) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "keyring.py").write_text(KEYRING)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "password").chmod(0o600)
    place = {"file": ["--password-file", str(tmp_path / "password")], "keyring": ["--password-keyring", "ours"]}
    root = Path(__file__).parents[2]
    with Cli(tmp_path / "boxe", {"PYTHONPATH": f"{root}{os.pathsep}{modules}"}) as cli:
        made = cli.json("relay", "new", "--broker", own_broker.url, "--username", "user", *place[kept_in])
        secrets = canaries(cli.folder, made["token"])
        pid = cli.daemon_pid()
        assert found(secrets, everything_said(cli)) == []
        for name in ("daemon.log", "config.toml", "daemon.lock"):
            assert found(secrets, (cli.folder / name).read_bytes()) == []
        if Path("/proc/self/environ").exists():
            for name in ("cmdline", "environ"):
                assert found(secrets, Path(f"/proc/{pid}/{name}").read_bytes()) == []
        assert cli.ok("relay", "token").strip() == made["token"], "what is asked for is shown"


def test_report_of_a_bug_in_a_command_names_no_secret(tmp_path: Path) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "sitecustomize.py").write_text(BROKEN)
    root = Path(__file__).parents[2]
    sound = Cli(tmp_path / "boxe")
    sound.ok("emit", "k")
    environment = {"PYTHONPATH": f"{modules}{os.pathsep}{root}", "TMPDIR": str(tmp_path)}
    broken = Cli(tmp_path / "boxe", environment)
    done = broken.run("devices", "--json")
    assert done.returncode == 70
    (report,) = tmp_path.glob("hcom-replica-bug-*.txt")
    assert report.stat().st_mode & 0o777 == 0o600
    assert b"RuntimeError: Parts(" in report.read_bytes()
    secrets = canaries(sound.folder, (sound.folder / "group.key").read_text().strip())
    for said in (report.read_bytes(), done.stdout.encode(), done.stderr.encode()):
        assert found(secrets, said) == []


@pytest.mark.parametrize("call", [["emit", "k"], ["events", "--json"], ["status", "--json"], ["devices"], ["doctor"],
                                  ["config", "--json"], ["relay", "--json"], ["relay", "daemon"]])  # fmt: skip
def test_every_command_that_opens_the_folder_warns_once_and_never_in_its_output(
    tmp_path: Path, call: list[str]
) -> None:
    cli = Cli(tmp_path / "boxe")
    cli.ok("emit", "k")
    (cli.folder / "group.key").chmod(0o644)
    done = cli.run(*call)
    assert done.returncode == 0
    assert done.stderr.count("group.key has mode 0644") == 1
    assert done.stderr.count("chmod 0600") == 1
    assert ("group.key" in done.stdout) is (call == ["doctor"])


def test_folder_as_it_is_made_needs_no_warning(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """T1.1: with the daemon's sockets and its log in it."""
    with Cli(tmp_path / "boxe") as cli:
        made = cli.run("relay", "new", "--broker", own_broker.url)
        assert "warning" not in made.stderr
        assert "has mode" not in cli.run("status").stderr
        modes = {path.name: path.stat().st_mode & 0o777 for path in [*cli.folder.rglob("*")]}
        assert {name for name, mode in modes.items() if mode & 0o077} == set()
