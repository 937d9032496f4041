"""Brokers that want TLS or a password, and those who come without: what the command line says, and what it keeps."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import MosquittoBroker, mosquitto_path
from hcom_replica.testing.real.certificates import Certificates, make_certificates
from hcom_replica.testing.real.processes import Cli

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.slow,
    pytest.mark.skipif(mosquitto_path() is None, reason="mosquitto is not installed"),
]
PASSWORD = "s3cret word"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    with Cli(tmp_path / "boxe") as one:
        yield one


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    (tmp_path / "certificates").mkdir()
    return make_certificates(tmp_path / "certificates")


@pytest.fixture
def guarded(tmp_path: Path, certificates: Certificates) -> Iterator[MosquittoBroker]:
    """A broker with TLS that wants a password."""
    with MosquittoBroker(tmp_path / "guarded", password=("user", PASSWORD), tls=certificates) as broker:
        yield broker


def new(cli: Cli, broker: MosquittoBroker, *more: str) -> subprocess.CompletedProcess[str]:
    return cli.run("relay", "new", "--broker", broker.url, *more)


def test_new_with_password_file_and_ca_file_syncs_and_keeps_no_secret(
    cli: Cli, guarded: MosquittoBroker, certificates: Certificates, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    options = ["--username", "user", "--password-file", str(secret), "--ca-file", str(certificates.ca)]
    made = new(cli, guarded, *options)
    assert made.returncode == 0, made.stderr
    cli.ok("emit", "k")
    assert cli.json("flush", "--timeout", "30")["safe_in"] == "broker"
    assert cli.json("relay")["broker"]["connected"] is True
    for path in (cli.folder / "config.toml", cli.folder / "daemon.log"):
        assert PASSWORD not in path.read_text()
    assert PASSWORD not in made.stdout + made.stderr


def test_new_with_the_password_in_the_keyring_syncs_and_says_when_it_is_gone(
    guarded: MosquittoBroker, certificates: Certificates, tmp_path: Path
) -> None:
    modules = tmp_path / "modules"
    modules.mkdir()
    keyring = modules / "keyring.py"
    entry = f"{{('ours', 'user'): {PASSWORD!r}}}"
    keyring.write_text(f"def get_password(service, user):\n    return {entry}.get((service, user))\n")
    root = Path(__file__).parents[2]
    with Cli(tmp_path / "boxe", {"PYTHONPATH": f"{root}{os.pathsep}{modules}"}) as cli:
        options = ["--username", "user", "--password-keyring", "ours", "--ca-file", str(certificates.ca)]
        made = new(cli, guarded, *options)
        assert made.returncode == 0, made.stderr
        cli.ok("emit", "k")
        assert cli.json("flush", "--timeout", "30")["safe_in"] == "broker"
        keyring.write_text("def get_password(service, user):\n    return None\n")
        done = cli.run("relay", "daemon", "restart")
        assert done.returncode == 2
        assert "hint: keyring set ours user" in done.stderr


def test_new_without_or_with_a_wrong_password_says_which_option_to_check(
    cli: Cli, guarded: MosquittoBroker, certificates: Certificates, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    for options in ([], ["--username", "user", "--password-file", str(wrong)]):
        done = new(cli, guarded, "--ca-file", str(certificates.ca), *options)
        assert done.returncode == 4
        assert "error[broker]: " in done.stderr
        assert "--password-file" in done.stderr
    assert not cli.folder.exists()


def test_new_with_an_authority_that_is_not_trusted_names_the_ca_file(cli: Cli, guarded: MosquittoBroker) -> None:
    done = new(cli, guarded)
    assert done.returncode == 4
    assert "certificate" in done.stderr
    assert "--ca-file" in done.stderr


def test_new_with_files_that_cannot_be_read_names_them(cli: Cli, guarded: MosquittoBroker, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    done = new(cli, guarded, "--ca-file", str(broken))
    assert done.returncode == 4
    assert "broken.pem" in done.stderr
    done = new(cli, guarded, "--username", "user", "--password-file", "/nowhere")
    assert done.returncode == 2
    assert "/nowhere" in done.stderr


def test_new_with_the_wrong_kind_of_url_hints_at_the_other(cli: Cli, guarded: MosquittoBroker) -> None:
    done = cli.run("relay", "new", "--broker", f"mqtt://127.0.0.1:{guarded.port}")
    assert done.returncode == 4
    assert "mqtts://" in done.stderr
