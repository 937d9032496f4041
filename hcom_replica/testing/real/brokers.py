"""Private brokers on 127.0.0.1: Mosquitto, and the embedded one, behind one interface.

Each broker is a child process with a port of its own that stays the same over restarts, ended by its pid only.
What a broker of either kind keeps over `restart()` are its retained messages; after `kill()` only what had been
saved before.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from hcom_replica.testing.real.certificates import Certificates
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.transport.url import BrokerAddress, Credentials

HOST = "127.0.0.1"
_START_S = 15.0
_STOP_S = 5.0


def mosquitto_path() -> str | None:
    """The mosquitto program, also where a user's PATH does not look; None when not installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


class PrivateBroker(ABC):
    """A broker process of the test's own.

    Attributes:
        folder: its configuration, data and log.
        port: the same from construction to the end.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> BrokerAddress:
        """Where clients connect."""
        """Where clients connect."""
        return BrokerAddress(HOST, self.port, tls=False)

    @property
    def credentials(self) -> Credentials:
        """What clients give: nothing, unless the broker was made to ask."""
        """What clients show."""
        return Credentials()

    @property
    def url(self) -> str:
        """`address` as text."""
        return self.address.url

    @property
    def pid(self) -> int:
        """The running process."""
        assert self._process is not None, "the broker is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged."""
        path = self.folder / "broker.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @abstractmethod
    def _command(self) -> list[str]:
        """The program and its arguments."""

    @abstractmethod
    def _forget(self) -> None:
        """Delete what it saved."""

    def start(self) -> Self:
        """Start it and wait until it accepts connections."""
        assert self._process is None, "the broker is already running"
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._accepts, _START_S, lambda: f"broker accepts on port {self.port}; its log:\n{self.log}")
        return self

    def _accepts(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the broker ended at once; its log:\n{self.log}"
        with suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """End it in order: it saves what it retains. Idempotent."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End it with SIGKILL: it saves nothing."""
        assert self._process is not None, "the broker is not running"
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self, *, forget: bool = False) -> None:
        """Stop and start; with `forget` without any retained message."""
        self.stop()
        if forget:
            self._forget()
        self.start()

    def pause(self) -> None:
        """Freeze it: connections stay, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start() if self._process is None else self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class MosquittoBroker(PrivateBroker):
    """A private Mosquitto.

    Args:
        folder: for its configuration and data; made if missing.
        password: user name and password that every client must show; None lets everybody in.
        tls: makes the port a TLS one.
        retain: False makes it keep no retained messages, and say so to MQTT 5 clients.
        packet_bytes_max: the largest packet it takes.
        queued_max: messages it queues for one client before it drops.
        extra: more lines for its configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: tuple[str, str] | None = None,
        tls: Certificates | None = None,
        retain: bool = True,
        packet_bytes_max: int | None = None,
        queued_max: int | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
        self._password = password
        self._tls = tls
        lines = [f"listener {self.port} {HOST}", f"allow_anonymous {'false' if password else 'true'}"]
        lines += ["persistence true", f"persistence_location {folder}/", "autosave_interval 0", "log_type all"]
        lines += ["log_timestamp_format %H:%M:%S"]
        lines += ["user root"] if os.geteuid() == 0 else []  # as root it would become a user who cannot write here
        lines += [f"password_file {self._write_passwords(*password)}"] if password else []
        lines += [f"certfile {tls.certificate}", f"keyfile {tls.key}"] if tls else []
        lines += [] if retain else ["retain_available false"]
        lines += [f"max_packet_size {packet_bytes_max}"] if packet_bytes_max else []
        lines += [f"max_queued_messages {queued_max}"] if queued_max else []
        (folder / "mosquitto.conf").write_text("\n".join([*lines, *extra, ""]))

    @property
    def address(self) -> BrokerAddress:
        """Where clients connect."""
        return BrokerAddress(HOST, self.port, tls=self._tls is not None)

    @property
    def credentials(self) -> Credentials:
        """What clients give: nothing, unless the broker was made to ask."""
        user, password = self._password or (None, None)
        return Credentials(user, password, self._tls.ca if self._tls else None)

    def _write_passwords(self, user: str, password: str) -> Path:
        salt, rounds = b"twelve bytes", 101  # Mosquitto's own format and number of rounds
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
        fields = ["", "7", str(rounds), base64.b64encode(salt).decode(), base64.b64encode(digest).decode()]
        path = self.folder / "passwords"
        path.write_text(f"{user}:{'$'.join(fields)}\n")
        path.chmod(0o600)
        return path

    def _command(self) -> list[str]:
        program = mosquitto_path()
        assert program is not None, "mosquitto is not installed"
        return [program, "-c", str(self.folder / "mosquitto.conf")]

    def _forget(self) -> None:
        (self.folder / "mosquitto.db").unlink(missing_ok=True)


class EmbeddedTestBroker(PrivateBroker):
    """The embedded broker in a process of its own, with its data kept in the folder."""

    def _command(self) -> list[str]:
        code = "import sys; from pathlib import Path; from hcom_replica.transport.broker import serve; "
        code += "serve(sys.argv[1], int(sys.argv[2]), data_dir=Path(sys.argv[3]))"
        return [sys.executable, "-c", code, HOST, str(self.port), str(self.folder / "data")]

    def _forget(self) -> None:
        shutil.rmtree(self.folder / "data", ignore_errors=True)


def any_broker(folder: Path) -> PrivateBroker:
    """Mosquitto, else the embedded broker, with a line on stderr about it. Not started yet."""
    if mosquitto_path() is not None:
        return MosquittoBroker(folder)
    sys.stderr.write("mosquitto is not installed: these tests run on the embedded broker\n")
    return EmbeddedTestBroker(folder)
