"""config.toml: its keys, their meaning, and reading it.

Owns the list of keys. A wrong key or value is refused with file, line and what to write instead; nothing is guessed.
The file holds no secrets. How commands change it is in `config_edit`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from hcom_replica.errors import ConfigError, UsageError
from hcom_replica.folder.files import read_text
from hcom_replica.ids import check_device_name
from hcom_replica.limits import MAILBOX_SLOTS

SLOTS_MAX: Final = 256
"""An index message names at most 256 segments (protocol-v1 section 9)."""

BROKERS_MAX: Final = 8
LEASE_DAYS: Final = 30
LEASE_DAYS_MAX: Final = 3_650
HCOM_ALLOWED: Final = (
    "launch", "kill", "resume", "config_get", "term_screen", "transcript", "events", "sub_create", "sub_list",
    "sub_unsub",
)  # fmt: skip
"""What hcom itself lets every device of a group do, but for what changes settings or types into a terminal."""

HCOM_ACTIONS: Final = (*HCOM_ALLOWED, "term_inject", "config_set", "relay_off")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

Value = str | int | bool | tuple[str, ...] | None
Read = Callable[[Any], Value]
"""From what stood in the file to the value; raises Expected."""


class Expected(Exception):
    """A value is not usable; its text says what is."""


class Key(NamedTuple):
    """One key of config.toml.

    Attributes:
        name: `section.key`.
        read: checks and converts.
        default: when it is not in the file.
        meaning: one clause for people.
    """

    name: str
    read: Read
    default: Value
    meaning: str


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise Expected('text in quotes, like "text"')
    return value


def _path(value: Any) -> str:
    text = _text(value)
    if "\0" in text:
        raise Expected("a path without zero bytes")
    try:
        Path(text).expanduser()
    except RuntimeError:
        raise Expected("a path; no user of that name has a home folder") from None
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Expected("true or false")
    return value


def _brokers(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) and item.strip() for item in listed):
        raise Expected('a broker URL in quotes, or a list of them: ["mqtts://host:8883", ...]')
    if len(listed) > BROKERS_MAX:
        raise Expected(f"at most {BROKERS_MAX} brokers")
    return tuple(listed)


def _whole(low: int, high: int) -> Read:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Expected(f"a whole number from {low} to {high}")
        return value

    return read


def _one_of(words: tuple[str, ...]) -> Read:
    def read(value: Any) -> str:
        if value not in words:
            raise Expected("one of " + ", ".join(f'"{word}"' for word in words))
        return str(value)

    return read


def _allowed(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise Expected('a list of actions: ["kill", "BOXE:term_inject", ...]')
    for item in listed:
        if item.rpartition(":")[2] not in HCOM_ACTIONS:
            raise Expected("actions of " + ", ".join(HCOM_ACTIONS) + "; with NAME: in front for one device only")
    return tuple(listed)


def _name(value: Any) -> str:
    try:
        return check_device_name(_text(value))
    except UsageError as error:
        raise Expected(error.hint.removeprefix("use ")) from None


KEYS: Final = (
    Key("relay.broker", _brokers, (), "broker URL, or a list tried in order; empty: those of the join token"),
    Key("relay.enabled", _flag, default=True, meaning="false stops syncing and keeps everything (relay on, relay off)"),
    Key("relay.username", _text, None, "user name at the broker"),
    Key("relay.password_file", _path, None, "file whose first line is the password; relative to this folder"),
    Key("relay.password_keyring", _text, None, "service in the system's keyring under which the password is kept"),
    Key("relay.credentials_for", _text, None, "the only host that user name and password are shown to; none: any"),
    Key("relay.ca_file", _path, None, "PEM file of the only authorities trusted for TLS; none: the system's"),
    Key("relay.topic_path", _text, None, "topic levels put in front of ours, where a broker's rules ask for them"),
    Key(
        "device.name",
        _name,
        None,
        "name of this device, 2 to 16 of A-Z 0-9 -; none: relay.device, else made from its id",
    ),
    Key(
        "log.sync",
        _flag,
        default=True,
        meaning="false acknowledges before the disk has it: faster, and acknowledges nothing to others",
    ),
    Key("mailbox.slots", _whole(2, SLOTS_MAX), MAILBOX_SLOTS, "retained segments of about 60 KiB kept on the broker"),
    Key(
        "devices.lease_days",
        _whole(1, LEASE_DAYS_MAX),
        LEASE_DAYS,
        "a member that nobody has heard of for so many days is retired",
    ),
    Key(
        "hcom.allow",
        _allowed,
        HCOM_ALLOWED,
        "what other devices may have hcom do here: actions, for every device, or NAME:action for one",
    ),
    Key("daemon.log_level", _one_of(LOG_LEVELS), "info", "how much goes into daemon.log: " + ", ".join(LOG_LEVELS)),
)
BY_NAME: Final = {key.name: key for key in KEYS}


class Setting(NamedTuple):
    """A key's value and where it comes from: `default`, or `config.toml line 3`."""

    key: Key
    value: Value
    source: str


class Config:
    """The settings of a folder, all checked.

    Args:
        path: of config.toml, for messages.
        settings: one for each key.
    """

    def __init__(self, path: Path, settings: Mapping[str, Setting]) -> None:
        self.path = path
        self.settings = settings

    def _get(self, name: str) -> Any:
        return self.settings[name].value

    @property
    def brokers(self) -> tuple[str, ...]:
        """Broker URLs as they were typed; may be empty."""
        return tuple(self._get("relay.broker"))

    @property
    def enabled(self) -> bool:
        """Whether this device syncs."""
        return bool(self._get("relay.enabled"))

    @property
    def username(self) -> str | None:
        """User name at the broker."""
        return self._text("relay.username")

    @property
    def password_file(self) -> Path | None:
        """Where the password is."""
        return self._path("relay.password_file")

    @property
    def password_keyring(self) -> str | None:
        """The keyring's service that has the password."""
        return self._text("relay.password_keyring")

    @property
    def credentials_for(self) -> str | None:
        """The only host that user name and password are for; None: any."""
        return self._text("relay.credentials_for")

    @property
    def ca_file(self) -> Path | None:
        """Authorities trusted for TLS."""
        return self._path("relay.ca_file")

    @property
    def topic_path(self) -> str | None:
        """Topic levels in front of ours."""
        return self._text("relay.topic_path")

    @property
    def device_name(self) -> str | None:
        """The name given to this device here."""
        return self._text("device.name")

    @property
    def sync(self) -> bool:
        """Whether an append is on disk when it is acknowledged."""
        return bool(self._get("log.sync"))

    @property
    def lease_ms(self) -> int:
        """How long a member may be silent before it is retired."""
        return int(self._get("devices.lease_days")) * 24 * 3_600_000

    @property
    def mailbox_slots(self) -> int:
        """Size of the ring."""
        return int(self._get("mailbox.slots"))

    @property
    def hcom_allow(self) -> tuple[str, ...]:
        """What other devices may have hcom do here."""
        return tuple(self._get("hcom.allow") or ())

    @property
    def log_level(self) -> str:
        """Level of daemon.log."""
        return str(self._get("daemon.log_level"))

    def _text(self, name: str) -> str | None:
        value = self._get(name)
        return None if value is None else str(value)

    def _path(self, name: str) -> Path | None:
        text = self._text(name)
        return None if text is None else self.path.parent / Path(text).expanduser()

    def refuse(self, name: str, error: ConfigError) -> ConfigError:
        """Give an error about a key's value, found later, the place where the value stands."""
        source = self.settings[name].source
        if source == "default":
            return error
        line = source.rpartition(" ")[2]
        return ConfigError(f"{self.path}:{line}: {name}: {error.message}", hint=error.hint)


def load_config(path: Path) -> Config:
    """Read config.toml; a missing file means all defaults.

    Raises:
        ConfigError: file, line, and what to write instead.
    """
    text = read_text(path)
    return parse_config(text, path) if text else Config(path, _defaults())


def parse_config(text: str, path: Path) -> Config:
    """Read the text of a config.toml.

    Raises:
        ConfigError: as for `load_config`.
    """
    import tomllib  # noqa: PLC0415 - slow to load, and often there is no file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, str(error)) from None
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists without end
        raise ConfigError(f"{path}: not TOML that can be read: a number or a list is out of all bounds") from None
    lines = key_lines(text)
    settings = _defaults()
    for name, raw in _flatten(document):
        line = lines.get(name, lines.get(name.partition(".")[0], 1))
        if name not in BY_NAME:
            raise _unknown(path, line, name)
        settings[name] = Setting(BY_NAME[name], _checked(path, line, name, raw), f"{path.name} line {line}")
    return Config(path, settings)


def _defaults() -> dict[str, Setting]:
    return {key.name: Setting(key, key.default, "default") for key in KEYS}


def _flatten(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, content in document.items():
        if isinstance(content, dict):
            for key, value in content.items():
                yield f"{section}.{key}", value
        else:
            yield section, content


def _checked(path: Path, line: int, name: str, raw: Any) -> Value:
    try:
        return BY_NAME[name].read(raw)
    except Expected as error:
        raise ConfigError(f"{path}:{line}: {name} cannot be {raw!r}", hint=f"write {error}") from None


def _unknown(path: Path, line: int, name: str) -> ConfigError:
    return ConfigError(f"{path}:{line}: no such key: {name}", hint=suggest(name))


def suggest(name: str) -> str:
    """Say which key was meant by a wrong one."""
    from difflib import get_close_matches  # noqa: PLC0415  (only for mistakes)

    short = {key.name.partition(".")[2]: key.name for key in KEYS}
    near = get_close_matches(name, BY_NAME, 1, 0.6)
    near = near or [short[found] for found in get_close_matches(name.rpartition(".")[2], short, 1, 0.6)]
    if not near:
        return "`hcom-replica config` shows all keys"
    section, _, key = near[0].partition(".")
    return f"did you mean {key} under [{section}]?"


def _not_toml(path: Path, message: str) -> ConfigError:
    found = re.search(r" ?\(at line (\d+), column \d+\)", message)
    line = found[1] if found else "end"
    what = message[: found.start()] if found else message.removesuffix(" (at end of document)")
    return ConfigError(
        f"{path}:{line}: not TOML: {what[:1].lower()}{what[1:]}", hint='text goes in quotes: key = "text"'
    )


_SECTION: Final = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY: Final = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*=")


def key_lines(text: str) -> dict[str, int]:
    """Find the line, from 1, of each `section.key` and of each section."""
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _SECTION.match(line):
            section = header[1]
            found.setdefault(section, number)
        elif key := _KEY.match(line):
            found.setdefault(f"{section}.{key[1]}" if section else key[1], number)
    return found
