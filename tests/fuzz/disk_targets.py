"""Decoders of what lies on disk: the folder's files, rows of the store, and what the embedded broker keeps."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from hcom_replica.core.peers import Peers
from hcom_replica.errors import BrokerError, ConfigError, StoreError
from hcom_replica.folder import keys
from hcom_replica.folder.config import Config, load_config
from hcom_replica.folder.config_edit import edited, template
from hcom_replica.folder.paths import Folder
from hcom_replica.ids import OriginId
from hcom_replica.store.meta import state_of
from hcom_replica.store.schema import StoredEvent, unpack_commit, unpack_peer, unpack_stretch
from hcom_replica.transport.retained import RetainedFile
from hcom_replica.transport.url import parse_broker_url
from tests.fuzz.target import Run, Target, stateless
from tests.fuzz.vectors import payloads, vectors
from tests.vectors import KEYS

_SHARED_MEMORY: Final = Path("/dev/shm")
_TOML_WORDS: Final = (
    b"[relay]\n", b"[device]\n", b"[log]\n", b"broker = ", b"enabled = ", b"password_file = ", b"slots = ", b"name = ",
    b"sync = ", b'"', b"'", b'"""', b"[", b"]", b"{", b"}", b"=", b"#", b"\n", b".", b",", b"\\u202e", b"\\x1b",
    b"1979-05-27T07:32:00Z", b"07:32:00", b"0x7f", b"1e400", b"nan", b"-1", b"9" * 500, b"~nobody/x", b"\\u0000",
    b"\x00", b"\x1b", b"\xff", "\u009b".encode(), b"true", b"password_keyring = ", b"mqtts://[::1]:8883",
)  # fmt: skip
_TOKENS: Final = tuple(one["token"].encode() for one in (*vectors("tokens")["valid"], *vectors("tokens")["invalid"]))


@cache
def _scratch() -> Path:
    """A folder in memory, for files that a target writes and reads; the process's own."""
    holder = tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None)
    _KEPT.append(holder)
    return Path(holder.name)


_KEPT: Final[list[tempfile.TemporaryDirectory[str]]] = []


def _in_file(name: str, read: Callable[[Folder], Any]) -> Callable[[], Run]:
    def make() -> Run:
        folder = Folder(_scratch())
        path = folder.root / name

        def run(given: bytes) -> None:
            path.write_bytes(given)
            try:
                read(folder)
            finally:
                path.unlink()

        return run

    return make


def _read_config(folder: Folder) -> None:
    use_config(load_config(folder.config))


def use_config(config: Config) -> None:
    """Ask for every value, as commands do."""
    for name in ("enabled", "username", "password_file", "ca_file", "topic_path", "device_name", "log_level"):
        getattr(config, name)
    for url in config.brokers:
        parse_broker_url(url)


def _edited(given: bytes) -> None:
    try:
        text = given.decode()
    except UnicodeDecodeError:
        return
    edited(Path("config.toml"), text, {"relay.broker": "mqtts://h", "relay.enabled": False, "device.name": None})


def _read_retained(folder: Folder) -> None:
    RetainedFile(folder.root).load()


def _read_row(given: bytes) -> None:
    """The first two bytes say which table, and how long the key is."""
    table, cut = given[:1], (given[1] if len(given) > 1 else 0) + 2
    key, value = given[2:cut], given[cut:]
    if table == b"o":
        state = state_of(value)
        del state
    elif table == b"c":
        unpack_commit(key, value)
    elif table == b"p":
        Peers(KEYS.group, [unpack_peer(key, value)])
    elif table == b"a":
        unpack_stretch(key, value)
    else:
        row = StoredEvent(key, value)
        assert row.seq >= 0 <= row.hlc
        assert row.origin + row.record == key[8:] + value[8:]


def _row(table: bytes, key: bytes, value: bytes) -> bytes:
    return table + bytes((len(key),)) + key + value


def _rows() -> tuple[bytes, ...]:
    stored = vectors("storage")
    found = [_row(b"o", bytes.fromhex(one["key"]), bytes.fromhex(one["value"])) for one in stored["origin_state"]]
    for table, name in ((b"c", "commits"), (b"p", "peers"), (b"l", "log")):
        found.append(_row(table, bytes.fromhex(stored[name]["key"]), bytes.fromhex(stored[name]["value"])))
    found.append(_row(b"a", bytes.fromhex(stored["arrivals"]["key"]), bytes.fromhex(stored["arrivals"]["late"])))
    head = payloads("HEAD")[0]
    key = bytes((1,)) + OriginId(b"12345678") + bytes(2)
    found.append(_row(b"p", key, bytes(8) + bytes(44) + head))
    return tuple(found)


_CONFIG_SEEDS: Final = (
    template().encode(),
    (
        b'[relay]\nbroker = ["mqtts://broker.example.org:8883", "mqtt://192.168.1.5"]\nusername = "replica"\n'
        b'password_file = "broker.password"\nca_file = "~/ca.pem"\n\n[mailbox]\nslots = 64\n'
    ),
    b'relay.enabled = false\ndevice = { name = "BOXE" }\nlog.sync = false\n',
)
_RETAINED: Final = msgspec.msgpack.encode([("a/h/b", b"payload", 1), ("a/p/b", b"", 0)])

TARGETS: Final = (
    Target("config.toml", _in_file("config.toml", _read_config), _CONFIG_SEEDS, (ConfigError,), words=_TOML_WORDS,
           weight=2),
    Target("config.toml to be edited", stateless(_edited), _CONFIG_SEEDS, (ConfigError,), words=_TOML_WORDS, weight=1),
    Target("group.key", _in_file("group.key", keys.group_token), _TOKENS, (ConfigError,),
           words=(b"hcr1_", b"=", b"-", b"_", b" ", b"\n", b"A", b"\xff", b"\x00"), weight=4),
    Target("device.key", _in_file("device.key", keys.device_key), (bytes(32), bytes(range(31))), (ConfigError,),
           weight=2),
    Target("relay.device", _in_file("relay.device", lambda folder: keys.name_from_file(folder, {})),
           (b"BOXE\n", b"A-1"), (ConfigError,), words=(b"-", b"A", b" ", b"\n", b"\x1b", b"\xff", b"\xc3\x9c"),
           weight=4),
    Target("row of the store", stateless(_read_row), _rows(), (StoreError,), prefix=2),
    Target("retained.msgpack", _in_file("retained.msgpack", _read_retained), (_RETAINED,), (BrokerError,), weight=4),
)  # fmt: skip
