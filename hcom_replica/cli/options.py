"""How a command declares its parameters, once, in its own signature.

Owns `Opt` and `Arg`, which stand in `Annotated` types of a command's function, and the reading of such a signature.
Both readers of the command line, `plain` and `app`, work from it, so they cannot disagree. Imports nothing slow.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

Command = Callable[..., int | None]
"""A command: takes a Session and its parameters, returns its exit code or None for 0."""


class Opt:
    """An option.

    Args:
        *flags: its spellings, like `--agent`, `-a`.
        help: one clause.
        metavar: what its value is called in the help.
    """

    def __init__(self, *flags: str, help: str, metavar: str | None = None) -> None:  # noqa: A002 - typer's word
        self.flags = flags
        self.help = help
        self.metavar = metavar


class Arg:
    """A positional argument.

    Args:
        metavar: what it is called in the help.
        help: one clause.
    """

    def __init__(self, metavar: str, *, help: str) -> None:  # noqa: A002 - typer's word
        self.metavar = metavar
        self.help = help


class Param(NamedTuple):
    """One parameter of a command.

    Attributes:
        name: in the function.
        annotation: its type, like `str | None`.
        base: what one value is: str, int, float or bool.
        many: a list of them.
        spec: how it is written on the command line.
        default: `...` when it must be given.
    """

    name: str
    annotation: Any
    base: type
    many: bool
    spec: Opt | Arg
    default: Any


def params_of(command: Command) -> list[Param]:
    """Read a command's signature; parameters without an `Opt` or `Arg` (the session) are left out."""
    hints = typing.get_type_hints(command, include_extras=True)
    defaults = _defaults(command)
    found = []
    for name, hint in hints.items():
        for spec in getattr(hint, "__metadata__", ()):
            if isinstance(spec, Opt | Arg):
                annotation = hint.__origin__
                base, many = _base(annotation)
                found.append(Param(name, annotation, base, many, spec, defaults.get(name, ...)))
    return found


def _defaults(command: Command) -> dict[str, Any]:
    code = command.__code__
    positional = code.co_varnames[: code.co_argcount]
    given = command.__defaults__ or ()
    return dict(zip(positional[len(positional) - len(given) :], given, strict=True)) | (command.__kwdefaults__ or {})


def _base(annotation: Any) -> tuple[type, bool]:
    origin = typing.get_origin(annotation)
    if origin in (list, tuple):
        return typing.get_args(annotation)[0], True
    if origin in (types.UnionType, typing.Union):
        return next(arg for arg in typing.get_args(annotation) if arg is not types.NoneType), False
    return annotation, False
