"""The entry of the command line: finds the command, runs it, and turns whatever happens into text and an exit code.

Owns the exit codes. Typer is loaded only for help and mistakes (see `plain`): an empty typer application takes longer
to load than an `emit` to run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from hcom_replica.errors import OutputError, ReplicaError, UsageError

INTERRUPTED: Final = 130
BUG: Final = 70
_DIR: Final = "--dir"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit code. Never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except ReplicaError as error:
        return _fail(error, arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort: a bug of ours is reported, not shown as a traceback
        return _bug(error)
    return code


def _run(argv: list[str]) -> int:
    directory, argv = _leading_dir(argv)
    if argv[:1] == ["--version"]:
        from hcom_replica import __version__

        print(f"hcom-replica {__version__}")  # noqa: T201 - nothing else of this program is loaded yet
        return 0
    if argv[:1] == ["send"]:
        argv = text_as_option(argv)
    code = _run_plain(argv, directory)
    if code is None:
        from hcom_replica.cli.app import run

        code = run(argv, directory)
    return code


def _run_plain(argv: list[str], directory: str | None) -> int | None:
    """Run a call in plain form; None when typer has to look at it."""
    from hcom_replica.cli.commands import find

    found = find(argv)
    if found is None:
        return None
    from hcom_replica.cli.options import params_of
    from hcom_replica.cli.plain import parse
    from hcom_replica.cli.session import Session, common

    words, command = found
    values = parse([*params_of(command), *params_of(common)], argv[len(words) :])
    if values is None:
        return None
    session = Session(values.pop("dir") or directory, values.pop("json_version"))
    return session.run(command, values)


def _leading_dir(argv: list[str]) -> tuple[str | None, list[str]]:
    """Take `--dir PATH` from in front of the command."""
    directory = None
    while argv and (argv[0] == _DIR or argv[0].startswith(_DIR + "=")):
        if argv[0] == _DIR and len(argv) < 2:
            raise UsageError("--dir needs a folder", hint="hcom-replica --dir PATH COMMAND")
        inline = argv[0].removeprefix(_DIR + "=") if argv[0] != _DIR else None
        directory = argv[1] if inline is None else inline
        argv = argv[2:] if inline is None else argv[1:]
    return directory, argv


def text_as_option(argv: list[str]) -> list[str]:
    """Write `send @luna -- some text` as `send @luna --text=some text`: argument parsers forget where `--` stood."""
    if "--" not in argv:
        return argv
    at = argv.index("--")
    text = argv[at + 1 :]
    return [*argv[:at], "--text=" + " ".join(text)] if text else argv[:at]


def _fail(error: ReplicaError, argv: list[str]) -> int:
    from hcom_replica.cli.print import failure

    _flush_quietly()
    failure(error.kind, error.message, error.hint or usual_hint(error, argv))
    return error.exit_code


def usual_hint(error: ReplicaError, argv: list[str]) -> str:
    """What to do about an error that says nothing of it itself."""
    if isinstance(error, UsageError):
        from hcom_replica.cli.commands import COMMANDS, words_of

        words = words_of(argv)
        words = words if words in COMMANDS else words[:-1]
        return " ".join(["hcom-replica", *words, "--help"]) + " shows how it is written"
    if isinstance(error, OutputError):
        return "choose another place"
    return "hcom-replica doctor looks for the cause"


def _bug(error: Exception) -> int:
    from hcom_replica.cli.bug import report
    from hcom_replica.cli.print import failure

    _flush_quietly()
    where = report(error)
    failure("bug", f"{type(error).__name__}: {error}", f"this is our mistake; the details are in {where}")
    return BUG


def _flush_quietly() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()


def _drop_output() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit has nothing to complain about."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
