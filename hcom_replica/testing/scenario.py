"""Scenario files: what happens to a group, line by line, and what is seen of it.

A line is a command, `# a comment`, empty, or `> ` and a line that the command before it must print. `play` runs a file
and returns it with what was really printed, so a file passes when nothing changes, and a change is reviewed as a diff.
`until` and `expect` state what must hold whatever is printed. Every invariant is checked after every step, and all logs
are walked at the end. A file is a program with one seed: it gives one run, always the same.

The commands are the methods of `actions.Actions` and `views.Views`; their first docstring line is their syntax.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from hcom_replica.core.settings import Settings
from hcom_replica.errors import ReplicaError, UsageError
from hcom_replica.testing.actions import Actions
from hcom_replica.testing.brokerconfig import BrokerConfig
from hcom_replica.testing.checkers import Violation
from hcom_replica.testing.script import Words, parse_words
from hcom_replica.testing.stage import Stage
from hcom_replica.testing.views import Views

Command = Callable[[Words], Iterator[str] | list[str] | None]
"""Carries out a line, and gives the lines that it prints."""

_PRINTED: Final = "> "


class ScenarioError(AssertionError):
    """A line of a scenario could not be carried out, or what it states does not hold."""


class Player:
    """Carries out the lines of one scenario.

    The world is made by the first command that needs it: `seed`, `settings` and `broker` before that describe it.
    """

    def __init__(self) -> None:
        self._seed = 0
        self._settings: dict[str, str] = {}
        self._broker = BrokerConfig()
        self._stage: Stage | None = None
        self._parts: tuple[object, ...] = ()

    def carry_out(self, line: str) -> list[str]:
        """Carry out a command; return what it prints.

        Raises:
            UsageError: there is no such command, or its words make no sense.
            Violation: an invariant is broken, or what is expected does not hold.
        """
        words = parse_words(line)
        if self._stage is None and self._describe(words):
            return []
        stage = self._need_stage()
        printed = self._command(words.verb)(words)
        stage.look()
        return list(printed or ())

    def end(self) -> None:
        """Walk all logs.

        Raises:
            Violation: see Checkers.
        """
        if self._stage is not None:
            self._stage.check_logs()

    def _describe(self, words: Words) -> bool:
        if words.verb == "seed":
            self._seed = int(words.place(0))
        elif words.verb == "settings":
            self._settings |= words.options
        elif words.verb == "broker" and words.places == ["config"]:
            for name, value in words.options.items():
                setattr(self._broker, name, int(value) if value.isdigit() else value)
        else:
            return False
        return True

    def _need_stage(self) -> Stage:
        if self._stage is None:
            self._stage = Stage(
                self._seed, settings=msgspec.convert(self._settings, Settings, strict=False), broker=self._broker
            )
            self._parts = (Actions(self._stage), Views(self._stage))
        return self._stage

    def _command(self, verb: str) -> Command:
        for part in self._parts:
            command: Command | None = getattr(part, f"do_{verb}", None)
            if command is not None:
                return command
        raise UsageError(f"no such command: {verb}")


def play(text: str) -> str:
    """Run a scenario.

    Returns:
        The text with what its commands really print.

    Raises:
        ScenarioError: names the line, and what is wrong.
    """
    player, lines = Player(), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(_PRINTED):
            continue
        lines.append(line)
        if not line.strip() or line.startswith("#"):
            continue
        try:
            lines += [_PRINTED + printed for printed in player.carry_out(line)]
        except (ReplicaError, Violation, ValueError, KeyError) as error:
            raise ScenarioError(f"line {number}: {line}\n{type(error).__name__}: {error}") from error
    try:
        player.end()
    except Violation as error:
        raise ScenarioError(f"at the end: {error}") from error
    return "\n".join(lines) + "\n"
