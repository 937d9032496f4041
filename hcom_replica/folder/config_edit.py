"""Changing config.toml from a command: comments, order and other keys stay as the person left them.

Owns the smallest possible edit. What it wrote is read again and compared before it counts, so a file in a form that
it does not understand is refused, never spoiled.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from hcom_replica.errors import ConfigError
from hcom_replica.folder.config import BY_NAME, KEYS, Config, Value, key_lines, load_config, parse_config
from hcom_replica.folder.files import create_once, read_text, replace

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def template() -> str:
    """A config.toml that says what each key means and sets none."""
    lines = ["# Settings of this device. `hcom-replica config` shows every value and where it comes from."]
    section = ""
    for key in KEYS:
        name, _, short = key.name.partition(".")
        if name != section:
            lines += ["", f"[{name}]"]
            section = name
        default = " = " + _toml(key.default) if key.default not in (None, ()) else " = ..."
        lines += [f"# {key.meaning}", f"#{short}{default}"]
    return "\n".join(lines) + "\n"


def write_template(path: Path) -> None:
    """Make config.toml with comments only, unless it is there.

    Raises:
        ConfigError: it cannot be written.
    """
    if not path.exists():
        create_once(path, template().encode())


def change_config(path: Path, changes: Mapping[str, Value]) -> Config:
    """Set keys, or take them out (None), and write the file; it is made when absent.

    Args:
        path: of config.toml.
        changes: `section.key` to value.

    Raises:
        ConfigError: the file is not usable, or in a form that cannot be edited; it stands as it was.
    """
    write_template(path)
    load_config(path)
    before = read_text(path) or ""
    text = edited(path, before, changes)
    if text != before:
        replace(path, text.encode())
    return parse_config(text, path)


def edited(path: Path, before: str, changes: Mapping[str, Value]) -> str:
    """Return the text of a config.toml with keys set, or taken out.

    Args:
        path: of the file, for messages.
        before: its text.
        changes: `section.key` to value.

    Raises:
        ConfigError: it is not usable, or in a form that cannot be edited.
    """
    text = before
    for name, value in changes.items():
        text = _set(text, name, value)
    if text != before:
        _check(path, before, text, changes)
    return text


def _check(path: Path, before: str, after: str, changes: Mapping[str, Value]) -> None:
    try:
        wanted = {name: setting.value for name, setting in parse_config(before, path).settings.items()}
        wanted.update({name: _as_read(name, value) for name, value in changes.items()})
        got = {name: setting.value for name, setting in parse_config(after, path).settings.items()}
    except ConfigError as error:
        raise _by_hand(path, changes, error.message) from None
    if got != wanted:
        raise _by_hand(path, changes, "it is written in an unusual form")


def _as_read(name: str, value: Value) -> Value:
    key = BY_NAME[name]
    return key.default if value is None else key.read(list(value) if isinstance(value, tuple) else value)


def _by_hand(path: Path, changes: Mapping[str, Value], why: str) -> ConfigError:
    todo = ", ".join(f"{name} = {_toml(value)}" for name, value in changes.items())
    return ConfigError(f"{path} could not be changed: {why}", hint=f"set it by hand: {todo}")


def _set(text: str, name: str, value: Value) -> str:
    lines = text.splitlines()
    section, _, key = name.partition(".")
    places = key_lines(text)
    new = [] if value is None else [f"{key} = {_toml(value)}"]
    if name in places:
        start = places[name] - 1
        end = _end_of_value(lines, start)
        comment = _comment(lines[end - 1])
        lines[start:end] = [f"{line}  {comment}" if comment else line for line in new]
    elif new and section in places:
        at = _insertion(lines, places[section], key)
        lines[at:at] = new
    elif new:
        lines += ["", f"[{section}]", *new]
    return "\n".join(lines) + "\n"


def _insertion(lines: list[str], start: int, key: str) -> int:
    """Below the commented-out key of the section if there is one, else right below the section's header."""
    for at in range(start, len(lines)):
        if lines[at].lstrip().startswith("["):
            break
        if re.match(rf"#\s*{re.escape(key)}\s*=", lines[at]):
            return at + 1
    return start


def _end_of_value(lines: list[str], start: int) -> int:
    """The line behind a value, which may be a list over several lines."""
    for end in range(start + 1, len(lines) + 1):
        if _is_toml("\n".join(lines[start:end])):
            return end
    return start + 1


def _comment(line: str) -> str:
    """The comment behind a value; text in quotes may hold a `#` too, so what stands before must be TOML by itself."""
    for mark in re.finditer("#", line):
        if _is_toml(line[: mark.start()]):
            return line[mark.start() :]
    return ""


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):  # of which TOMLDecodeError is one; others are numbers and depths out of bounds
        return False
    return True


def _toml(value: Value) -> str:
    if value is None:
        return "(absent)"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(_ESCAPES.get(char, char) for char in value) + '"'
    return "[" + ", ".join(_toml(item) for item in value) + "]"
