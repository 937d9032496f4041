"""A certificate authority and a server certificate for 127.0.0.1, made for one test by the openssl program."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: the authority's certificate, the server's, and the server's key."""

    ca: Path
    certificate: Path
    key: Path


def make_certificates(folder: Path, *, names: str = "IP:127.0.0.1,DNS:localhost") -> Certificates:
    """Make a fresh authority and a server certificate for `names` (openssl's subjectAltName syntax), in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    _openssl(folder, *_NEW_KEY, "-keyout", "ca.key", "-x509", "-days", "2", "-subj", "/CN=test CA", "-out", "ca.pem")
    _openssl(folder, *_NEW_KEY, "-keyout", "server.key", "-subj", "/CN=test broker", "-out", "server.csr")
    (folder / "server.ext").write_text(f"subjectAltName={names}\n")
    issuer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    _openssl(folder, "x509", "-req", "-in", "server.csr", *issuer, "-extfile", "server.ext", "-out", "server.pem")
    made.key.chmod(0o644)  # a broker started by root may drop to another user before it reads this
    return made


_NEW_KEY = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S607 - the one on PATH
