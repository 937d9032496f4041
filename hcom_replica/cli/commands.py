"""Every command: its words, and the function that runs it.

Owns the tree of commands. A function is imported when its command runs, or when all are listed for help.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Final

from hcom_replica.cli.options import Command

GROUPS: Final = {
    ("relay",): "this device's group: make, join, leave, sync",
    ("relay", "daemon"): "the daemon that syncs this folder",
    ("devices",): "the devices of the group",
    ("state",): "the shared state of scripts: values, sets, counters",
    ("subscriptions",): "what scripts of the group listen for",
    ("audit",): "prove that the history is what was signed, and that others hold the same",
    ("bridge",): "bridges to other programs",
}

COMMANDS: Final = {
    ("emit",): "write:emit",
    ("send",): "write:send",
    ("redact",): "redact:redact",
    ("import",): "importing:import_",
    ("flush",): "waiting:flush",
    ("wait",): "waiting:wait",
    ("events",): "read:events",
    ("replay",): "replay:replay",
    ("export",): "export:export",
    ("import-bundle",): "export:import_bundle",
    ("status",): "status:status",
    ("list",): "views:list_",
    ("state",): "views:state",
    ("state", "get"): "views:get",
    ("state", "set"): "views:set_",
    ("state", "add"): "views:add",
    ("state", "remove"): "views:remove",
    ("state", "incr"): "views:incr",
    ("subscriptions",): "views:subscriptions",
    ("subscriptions", "add"): "views:subscribe",
    ("subscriptions", "remove"): "views:unsubscribe",
    ("audit",): "audit:verify",
    ("audit", "verify"): "audit:verify",
    ("audit", "diff"): "audit:diff",
    ("audit", "report"): "report:report",
    ("devices",): "devices:devices",
    ("devices", "retire"): "devices:retire",
    ("devices", "rename"): "devices:rename",
    ("relay",): "relay:status",
    ("relay", "new"): "relay:new",
    ("relay", "connect"): "relay:connect",
    ("relay", "status"): "relay:status",
    ("relay", "on"): "relay:on",
    ("relay", "off"): "relay:off",
    ("relay", "forget"): "relay:forget",
    ("relay", "token"): "relay:token",
    ("relay", "move"): "relay:move",
    ("relay", "revoke"): "relay:revoke",
    ("relay", "rotate"): "relay:rotate",
    ("relay", "daemon"): "daemon:status",
    ("relay", "daemon", "start"): "daemon:start",
    ("relay", "daemon", "stop"): "daemon:stop",
    ("relay", "daemon", "restart"): "daemon:restart",
    ("relay", "daemon", "status"): "daemon:status",
    ("relay", "daemon", "logs"): "daemon:logs",
    ("relay", "daemon", "install"): "daemon:install",
    ("bridge", "hcom"): "bridge:hcom",
    ("bridge", "remote"): "remote:remote",
    ("run",): "daemon:run",
    ("broker",): "broker:broker",
    ("config",): "config:config",
    ("doctor",): "doctor:doctor",
    ("demo",): "demo:demo",
    ("bench",): "bench:bench",
    ("simulate",): "simulate:simulate",
}
"""Words of the command -> module of this package and function. A group that is listed runs on its own, too."""


def find(argv: Sequence[str]) -> tuple[tuple[str, ...], Command] | None:
    """Find the command that a command line begins with; None when there is none, or a group needs another word."""
    words = words_of(argv)
    return (words, load(words)) if words in COMMANDS else None


def words_of(argv: Sequence[str]) -> tuple[str, ...]:
    """The words of the command or group that a command line begins with, known or not."""
    words = tuple(argv[:1])
    if words not in COMMANDS and words not in GROUPS:
        return ()
    while words in GROUPS and len(argv) > len(words) and not argv[len(words)].startswith("-"):
        words = tuple(argv[: len(words) + 1])
    return words


def load(words: tuple[str, ...]) -> Command:
    """Import a command's function."""
    module, _, name = COMMANDS[words].partition(":")
    command: Command = getattr(import_module(f"hcom_replica.cli.{module}"), name)
    return command
