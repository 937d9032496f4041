"""The quick reader of command lines: calls in plain form run without loading typer.

Owns nothing but speed. It accepts a call only if it is sure of it: known options, complete, values that do not look
like options. For all else (help, mistakes, unusual forms) it returns None and typer reads the same declarations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hcom_replica.cli.options import Arg, Opt, Param


def parse(params: Sequence[Param], argv: Sequence[str]) -> dict[str, Any] | None:
    """Read a command's arguments.

    Args:
        params: the command's.
        argv: what stands behind the command's name.

    Returns:
        Parameter name to value, defaults included; None when typer has to look at it.
    """
    flags = {flag: param for param in params if isinstance(param.spec, Opt) for flag in param.spec.flags}
    values: dict[str, Any] = {param.name: list(param.default) if param.many else param.default for param in params}
    loose: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            loose.extend(words)
        elif word == "-" or not word.startswith("-"):
            loose.append(word)
        elif not _option(flags, word, words, values):
            return None
    if not _arguments(params, loose, values) or ... in values.values():
        return None
    return values


def _option(flags: dict[str, Param], word: str, words: Any, values: dict[str, Any]) -> bool:
    flag, equals, value = word.partition("=")
    param = flags.get(flag)
    if param is None or (equals and not flag.startswith("--")):
        return False
    if param.base is bool:
        values[param.name] = True
        return not equals
    if not equals:
        value = next(words, "--")
        if value.startswith("-") and value != "-":
            return False
    return _store(param, value, values)


def _arguments(params: Sequence[Param], loose: list[str], values: dict[str, Any]) -> bool:
    for param in params:
        if not isinstance(param.spec, Arg):
            continue
        taken = loose if param.many else loose[:1]
        loose = loose[len(taken) :]
        if not all(_store(param, word, values) for word in taken):
            return False
    return not loose


def _store(param: Param, text: str, values: dict[str, Any]) -> bool:
    try:
        value = param.base(text)
    except ValueError:
        return False
    if param.many:
        values[param.name].append(value)
    else:
        values[param.name] = value
    return True
