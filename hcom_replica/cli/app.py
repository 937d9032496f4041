"""The whole command line as a typer application, made from the same declarations that `plain` reads.

Owns help, the wording of mistakes and shell completion. Loaded only when one of them is needed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from hcom_replica.cli.commands import COMMANDS, GROUPS, load
from hcom_replica.cli.options import Arg, Command, Param, params_of
from hcom_replica.cli.session import Session, common
from hcom_replica.errors import UsageError

PROGRAM: Final = "hcom-replica"
ABOUT: Final = "An append-only event log on every device of a group, in sync through any MQTT broker, offline first."
_EPILOG: Final = "Data folder: --dir, else $HCOM_REPLICA_DIR, else $HCOM_DIR/replica, else ~/.hcom-replica."


def run(argv: Sequence[str], directory: str | None) -> int:
    """Read a command line and run its command.

    Args:
        argv: without the program's name and a leading `--dir`.
        directory: the value of a leading `--dir`.

    Raises:
        UsageError: a mistake in the command line; nothing was done.
    """
    try:
        code = build(directory)(args=list(argv), prog_name=PROGRAM, standalone_mode=False)
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return 130
    except typer.TyperException as error:
        raise _mistake(error, argv) from None
    return code if isinstance(code, int) else 0


def build(directory: str | None) -> Callable[..., Any]:
    """Make the application; `directory` is used where a command has no `--dir` of its own."""
    apps: dict[tuple[str, ...], typer.Typer] = {(): _group(ABOUT, bare=False, epilog=_EPILOG)}
    for words, about in GROUPS.items():
        apps[words] = _group(about, bare=words in COMMANDS)
        apps[words[:-1]].add_typer(apps[words], name=words[-1])
    for words in COMMANDS:
        command = _adapt(load(words), directory)
        if words in GROUPS:
            apps[words].callback(invoke_without_command=True)(_unless_sub(command))
        else:
            apps[words[:-1]].command(words[-1], help=inspect.getdoc(command))(command)
    apps[()].callback()(_root)
    return apps[()]


def _group(about: str, *, bare: bool, epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=about,
        epilog=epilog,
        no_args_is_help=not bare,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def _root(
    directory: Annotated[str | None, typer.Option("--dir", metavar="PATH", help="data folder")] = None,
    version: Annotated[bool, typer.Option("--version", help="print the version")] = False,
) -> None:
    """Show the options that stand before a command; `main` has taken them from the command line already."""


def _adapt(command: Command, directory: str | None) -> Callable[..., Any]:
    def adapted(**values: Any) -> int | None:
        session = Session(values.pop("dir") or directory, values.pop("json_version"))
        many = {param.name for param in params if param.many}
        return session.run(
            command, {name: list(value or ()) if name in many else value for name, value in values.items()}
        )

    params = params_of(command)
    extra = params_of(common)
    adapted.__doc__ = inspect.getdoc(command)
    adapted.__name__ = command.__name__
    adapted.__signature__ = inspect.Signature([_parameter(param) for param in [*params, *extra]])  # type: ignore[attr-defined]
    adapted.__annotations__ = {param.name: _parameter(param).annotation for param in [*params, *extra]}
    return adapted


def _parameter(param: Param) -> inspect.Parameter:
    info: Any
    if isinstance(param.spec, Arg):
        info = typer.Argument(metavar=param.spec.metavar, help=param.spec.help, show_default=False)
    else:
        info = typer.Option(
            *param.spec.flags, metavar=param.spec.metavar, help=param.spec.help, show_default=_shown(param)
        )
    default = inspect.Parameter.empty if param.default is ... else list(param.default) if param.many else param.default
    annotated: Any = Annotated
    annotation = annotated[param.annotation, info]
    return inspect.Parameter(param.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _shown(param: Param) -> bool:
    return param.default not in (None, ..., False, ()) and param.base is not bool


def _unless_sub(command: Callable[..., Any]) -> Callable[..., Any]:
    """A group's own command runs only when no other word follows the group's."""

    def adapted(ctx: typer.Context, **values: Any) -> Any:
        return command(**values) if ctx.invoked_subcommand is None else None

    signature = inspect.signature(command)
    first = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    adapted.__signature__ = signature.replace(parameters=[first, *signature.parameters.values()])  # type: ignore[attr-defined]
    adapted.__annotations__ = {"ctx": typer.Context, **command.__annotations__}
    adapted.__doc__ = command.__doc__
    return adapted


def _mistake(error: typer.TyperException, argv: Sequence[str]) -> UsageError:
    words = [word for word in argv if not word.startswith("-")]
    known = next((words[:n] for n in range(3, 0, -1) if tuple(words[:n]) in COMMANDS | GROUPS), [])
    message = error.format_message().rstrip(".")
    if not message or "Usage:" in message:
        message = "a command is missing"
    hint = " ".join([PROGRAM, *known, "--help"]) + " shows how it is written"
    return UsageError(message[:1].lower() + message[1:], hint=hint)
