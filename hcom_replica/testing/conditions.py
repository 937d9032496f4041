"""What a scenario can wait for, or insist on. The first line of each docstring is the syntax."""

from __future__ import annotations

from hcom_replica.errors import UsageError
from hcom_replica.testing.script import Words, parse_point
from hcom_replica.testing.stage import Stage


class Conditions:
    """Conditions on a world; each is a method that says why it does not hold, or nothing.

    Args:
        stage: the world.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def hold(self, words: Words) -> bool:
        """Whether a condition holds."""
        return not self.why_not(words)

    def why_not(self, words: Words) -> str:
        """Why a condition does not hold; empty when it does.

        Raises:
            UsageError: there is no such condition.
        """
        name, rest = words.place(0), Words(words.place(0), words.places[1:], words.options)
        if len(rest.places) > 1 and rest.place(0) in ("holds", "misses", "received"):
            return self._of_device(name, rest.place(0), rest.places[1:])
        check = getattr(self, f"is_{name}", None)
        if check is None:
            raise UsageError(f"no such condition: {' '.join(words.places)}")
        answer: str = check(rest)
        return answer

    def is_converged(self, words: Words) -> str:
        """`converged [A B ...]`: they hold the same, and something."""
        names = words.places or list(self._stage.devices)
        if silent := [name for name in names if self._stage[name].log.own_origin() is None]:
            return f"{silent} have not begun"
        return "" if self._stage.converged(names) else "the logs differ"

    def is_quiet(self, words: Words) -> str:  # noqa: ARG002 - one shape for all conditions
        """`quiet`: all that exists is everywhere, everybody knows it, and no mail lies about."""
        return self._stage.unrest()

    def is_nothing(self, words: Words) -> str:
        """`nothing retained | nothing mailed | nothing missing`: the last is what `wait` waits for, on all that run."""
        if words.place(0) == "missing":
            return ", ".join(f"{name} misses {count}" for name, count in self._stage.lags().items() if count)
        if words.place(0) == "mailed":
            return f"{len(self._stage.mail())} segments lie on the broker" if self._stage.mail() else ""
        topics = [topic for topic, _ in self._stage.broker.retained()]
        return f"{len(topics)} messages are retained" if topics else ""

    def is_mail(self, words: Words) -> str:
        """`mail of A`: some of its segments lie on the broker."""
        return "" if self._stage.mail_of(words.place(1)) else f"no mail of {words.place(1)}"

    def is_up(self, words: Words) -> str:
        """`up A B ...`: connected, and the fence has passed."""
        down = [n for n in words.places if not (self._stage[n].running and self._stage[n].machine.fence_open)]
        return f"{down} not up" if down else ""

    def is_dead(self, words: Words) -> str:
        """`dead A`: its daemon does not run."""
        return "it runs" if self._stage[words.place(0)].running else ""

    def is_incarnations(self, words: Words) -> str:
        """`incarnations A=2 ...`: how many origins the device's key has, branches left out."""
        for name, count in words.options.items():
            if name in self._stage.devices and (found := self._stage.incarnations(name)) != int(count):
                return f"{name} has {found}"
        return ""

    def _of_device(self, name: str, verb: str, rest: list[str]) -> str:
        if verb == "holds":
            origin, seq = parse_point(rest[0])
            have = self._stage.have(name, origin)
            return "" if have >= seq else f"{name} holds {origin}:{have}"
        if verb == "misses":
            missing = self._stage[name].machine.wait_result().missing_events
            return "" if missing == (0 if rest[0] == "nothing" else int(rest[0])) else f"{name} misses {missing}"
        # `A received below N`: bytes that the broker has sent it
        received = self._stage.broker.traffic.owner(name).bytes_out
        return "" if received < int(rest[1]) else f"{name} received {received} bytes"
