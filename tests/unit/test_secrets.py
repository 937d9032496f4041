"""What holds a secret shows none: not in its repr, so not in a log, a traceback or a report of a bug either."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from random import Random

import pytest

from hcom_replica.api.opening import Parts
from hcom_replica.api.relay import Made
from hcom_replica.cli.bug import report
from hcom_replica.core.outbox import Outbox
from hcom_replica.errors import ConfigError, TokenError
from hcom_replica.folder.config import parse_config
from hcom_replica.folder.paths import Folder
from hcom_replica.ids import OriginId
from hcom_replica.transport.link import LinkSettings
from hcom_replica.transport.url import BrokerAddress, Credentials, parse_broker_url
from hcom_replica.wire.frame import Signer
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.signing import DeviceKey
from hcom_replica.wire.token import JoinToken, decode_token
from tests.unit.core.builders import Device
from tests.unit.core.host import Host

SECRET = bytes(range(100, 132))
SEED = bytes(range(180, 212))
PASSWORD = "canary-of-a-password"
KEYS = GroupKeys(bytes(16), SECRET)
TOKEN = JoinToken(KEYS, ("mqtts://h",), bytes(32))
DEVICE = DeviceKey(SEED)
ADDRESS = BrokerAddress("h", 1)


def spellings(secret: bytes) -> set[str]:
    """How bytes may come to stand in a text."""
    return {
        secret.hex(), secret.hex().upper(), repr(secret), repr(secret)[2:-1], b64encode(secret).decode().rstrip("="),
        urlsafe_b64encode(secret).decode().rstrip("="), str(list(secret)), secret.decode("latin-1"),
    }  # fmt: skip


FORBIDDEN = {
    *spellings(SECRET),
    *spellings(SEED),
    PASSWORD,
    TOKEN.encode(),
    *spellings(KEYS.seal),
    *spellings(KEYS.leaf),
}


def holders() -> list[object]:
    """Everything that has a secret in it."""
    credentials = Credentials("user", PASSWORD)
    folder = Folder(Path("/nowhere"))
    config = parse_config('[relay]\nusername = "user"\n', Path("config.toml"))
    parts = Parts(folder, config, DEVICE, "BOXE", TOKEN, (KEYS,), None, None, None, None)  # type: ignore[arg-type]
    host = Host(Device("BOXE"))
    signer = Signer(DEVICE, bytes(12), OriginId(b"12345678"))
    made = Made(TOKEN.encode(), "g", "BOXE", "mqtts://h", 1)
    return [
        KEYS, TOKEN, DEVICE, credentials, LinkSettings(ADDRESS, credentials), signer, made, parts,
        Outbox(KEYS, Random(1), 1), host.machine, {"keys": KEYS}, [DEVICE], (credentials,),
    ]  # fmt: skip


@pytest.mark.parametrize("holder", holders(), ids=lambda holder: type(holder).__name__)
def test_repr_of_what_holds_a_secret_shows_none(holder: object) -> None:
    for text in (repr(holder), str(holder), f"{holder}"):
        assert not [secret for secret in FORBIDDEN if secret in text]


def test_report_of_a_bug_names_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Locals are not in it, reprs are without secrets, and a token typed in a command's place is left out."""
    monkeypatch.setattr("sys.argv", ["hcom-replica", TOKEN.encode(), PASSWORD])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def broken(keys: GroupKeys, token: str, password: str) -> None:
        raise ValueError(f"{keys!r} and {DEVICE!r}, {len(token)}, {len(password)}")

    with pytest.raises(ValueError, match="GroupKeys") as error:
        broken(KEYS, TOKEN.encode(), PASSWORD)
    path = Path(report(error.value))
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "ValueError" in text
    assert not [secret for secret in FORBIDDEN if secret in text]


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text[:40] + "!" + text[41:], str.upper])
def test_token_that_is_refused_is_not_repeated(change: object) -> None:
    wrong = change(TOKEN.encode())  # type: ignore[operator]
    with pytest.raises(TokenError) as error:
        decode_token(wrong)
    assert wrong[8:] not in error.value.message + error.value.hint
    assert wrong[8:40] not in error.value.message + error.value.hint


@pytest.mark.parametrize(
    "url", [f"mqtts://u:{PASSWORD}@h", f"http://u:{PASSWORD}@h", f"u:{PASSWORD}@h:0", f"mqtt://u:{PASSWORD}@h@:x"]
)
def test_url_that_somebody_wrote_a_password_into_is_refused_without_it(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_broker_url(url)
    assert PASSWORD not in error.value.message + error.value.hint
