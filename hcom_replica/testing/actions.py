"""What can be done to a simulated group by a scenario's line. The first line of each docstring is the syntax."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from hcom_replica.core.hello import RETIRE, Retire, system_draft
from hcom_replica.errors import StoreFull, UsageError
from hcom_replica.ids import EventId
from hcom_replica.store.memory_kv import MemoryKv, Moment
from hcom_replica.testing.checkers import Violation
from hcom_replica.testing.conditions import Conditions
from hcom_replica.testing.disk import Disk
from hcom_replica.testing.faults import Kind
from hcom_replica.testing.forger import Forger
from hcom_replica.testing.pipe import Profile
from hcom_replica.testing.script import Words, parse_point, parse_span, parse_time_ms
from hcom_replica.testing.stage import Stage
from hcom_replica.wire.event import Draft
from hcom_replica.wire.signing import device_id

_STOP_MS: Final = 10_000
_MOMENTS: Final = {"before-commit": Moment.BEFORE_COMMIT, "after-commit": Moment.AFTER_COMMIT}


class Actions:
    """The commands that change something.

    Args:
        stage: the world.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._conditions = Conditions(stage)
        self._forger = Forger(stage)
        self._disks: dict[str, Disk] = {}
        self._brokers: dict[str, dict[str, bytes]] = {"nothing": {}}
        self._messages: dict[str, bytes] = {}

    # --- devices -----------------------------------------------------------------------------------------------

    def do_devices(self, words: Words) -> None:
        """`devices A B ... [latency=5..20] [up=BYTES/S] [down=BYTES/S] [loss=0.1] [life=4s] [clock=+2h]`."""
        options = words.options
        life = options.get("life")
        profile = Profile(
            latency_ms=parse_span(options.get("latency", "5..20")),
            up_bytes_per_s=int(options["up"]) if "up" in options else None,
            down_bytes_per_s=int(options["down"]) if "down" in options else None,
            loss=float(options.get("loss", 0)),
            life_ms_mean=parse_time_ms(life) if life else None,
        )
        for name in words.places:
            self._stage.join(name, profile=profile, skew_ms=words.time_ms("clock", "0"))

    def do_found(self, words: Words) -> None:  # noqa: ARG002 - one shape for all commands
        """`found`: the first device to join is the group's founder."""
        self._stage.found()

    def do_slots(self, words: Words) -> None:
        """`slots NUMBER`: rings of devices that join from now on."""
        self._stage.configure(msgspec.structs.replace(self._stage.settings, mailbox_slots=int(words.place(0))))

    def do_start(self, words: Words) -> None:
        """`start A B ...`: their daemons."""
        for name in words.places:
            self._stage[name].start()

    def do_stop(self, words: Words) -> None:
        """`stop A B ...`: their daemons, in order, which takes time."""
        for name in words.places:
            self._stage[name].stop()
        if not self._stage.run_until(lambda: not any(self._stage[n].running for n in words.places), _STOP_MS):
            raise Violation("stop", "a daemon does not stop")

    def do_crash(self, words: Words) -> None:
        """`crash A [power | effects=N | before-commit=N | after-commit=N]`: at once, or at a moment to come."""
        device = self._stage[words.place(0)]
        if "effects" in words.options:
            device.crash_before_effect(int(words.options["effects"]))
        elif words.options:
            moment, commits = next(iter(words.options.items()))
            device.disk.crash(_MOMENTS[moment], commits=int(commits))
        else:
            device.crash(broker_after_ms=None if "power" in words.places else 0)

    def do_visit(self, words: Words) -> None:
        """`visit A [for=8s]`: start, stay, stop in order."""
        self.do_start(words)
        self._stage.run(words.time_ms("for", "8s"))
        self.do_stop(words)

    def do_turns(self, words: Words) -> list[str]:
        """`turns A B ... until CONDITION [for=8s] [most=60]`: visits, one after the other, never two at a time."""
        at = words.places.index("until")
        names, condition = words.places[:at], Words("until", words.places[at + 1 :], words.options)
        for number in range(int(words.options.get("most", 60))):
            self.do_visit(Words("visit", [names[number % len(names)]], words.options))
            if self._conditions.hold(condition):
                return [f"after {number + 1} visits"]
        raise Violation("turns", self._conditions.why_not(condition))

    def do_disk(self, words: Words) -> None:
        """`disk A full|ok`."""
        self._stage[words.place(0)].disk.full = words.place(1) == "full"

    def do_clock(self, words: Words) -> None:
        """`clock A +2h|-3h|0`: how far it is off from now on."""
        self._stage[words.place(0)].skew_ms = parse_time_ms(words.place(1))

    def do_snapshot(self, words: Words) -> None:
        """`snapshot A x`: keep a copy of its disk, or of all that `broker` retains."""
        who, name = words.place(0), words.place(1)
        if who == "broker":
            self._brokers[name] = dict(self._stage.broker.snapshot())
        else:
            self._disks[name] = self._stage.snapshot(who)

    def do_restore(self, words: Words) -> None:
        """`restore A x|nothing`: kill it and put a copy back, or an empty disk; it is not started."""
        name = words.place(1)
        self._stage.put_back(words.place(0), MemoryKv() if name == "nothing" else self._disks[name])

    def do_clone(self, words: Words) -> None:
        """`clone A X`: another machine with the same key and disk; it is not started."""
        self._stage.clone(words.place(0), words.place(1))

    def do_destroy(self, words: Words) -> None:
        """`destroy A`: machine and disk are gone for good."""
        self._stage.destroy(words.place(0))

    # --- what they are told to do ------------------------------------------------------------------------------

    def do_append(self, words: Words) -> Iterator[str]:
        """`append A COUNT [bytes=N] [incompressible] [unpoked]`: prints the ids; nothing when the appender died."""
        rng, size = self._stage.scheduler.random, int(words.options.get("bytes", 20))
        hard = "incompressible" in words.places
        bodies = [rng.randbytes(size) if hard else b"%016x" % rng.getrandbits(64) + b"x" * size
                  for _ in range(int(words.place(1)))]  # fmt: skip
        drafts = [Draft("test", words.place(0).lower(), None, body) for body in bodies]
        try:
            ids = self._stage.append(words.place(0), drafts, poke="unpoked" not in words.places)
        except StoreFull:
            yield "refused: the disk is full"
            return
        if ids:
            name = self._stage.names.of(ids[0].origin)
            yield f"{name}:{ids[0].seq}" + (f"..{ids[-1].seq}" if len(ids) > 1 else "")

    def do_redact(self, words: Words) -> list[str]:
        """`redact A A:5 [unpoked]`: A takes the body of an event of its own away; prints what it says, or why not."""
        name, seq = parse_point(words.place(1))
        event = EventId(self._stage.names.origin(name), seq)
        try:
            said = self._stage.redact(words.place(0), event, poke="unpoked" not in words.places)
        except StoreFull:
            return ["refused: the disk is full"]
        return [] if said is None else [f"{self._stage.names.of(said.origin)}:{said.seq} says so"]

    def do_flush(self, words: Words) -> list[str]:
        """`flush A [device=B] [within=10s]`: prints where everything is safe, or why it is not."""
        device = self._stage[words.place(0)]
        machine = device.machine
        number = machine.start_flush(device.now, words.options.get("device"))
        device.wake()
        self._stage.run_until(lambda: machine.flush_result(number).done, words.time_ms("within", "10s"))
        result = machine.flush_result(number)
        machine.end_flush(number)
        return [f"safe in {result.safe_in}" if result.done else f"not safe: {result.reason}"]

    def do_forget(self, words: Words) -> None:
        """`forget A`: it clears what it has left on the broker, and stops."""
        device = self._stage[words.place(0)]
        device.machine.forget(device.now)
        device.wake()
        self.do_stop(words)

    def do_retire(self, words: Words) -> None:
        """`retire A C`: A states that C has left, and how far what A holds of it counts."""
        stage = self._stage
        log, key = stage[words.place(0)].log, stage.key_of(words.place(1))
        last = {state.id.hex(): state.seq for state in log.origins() if state.key == key}
        stage.append(words.place(0), [system_draft(RETIRE, Retire(device_id(key).hex(), last))])

    # --- the network and the broker ----------------------------------------------------------------------------

    def do_offline(self, words: Words) -> None:
        """`offline A B ...`: no way to the broker, which learns at once."""
        self._stage.offline(*words.places, broker_after_ms=0)

    def do_online(self, words: Words) -> None:
        """`online A B ...`: the way is open again."""
        self._stage.online(*words.places)

    def do_cut(self, words: Words) -> None:
        """`cut A B ... [broker=90s]`: the connection ends once; the broker learns after a time."""
        self._stage.faults.cut(*words.places, broker_after_ms=words.time_ms("broker", "0"))

    def do_fault(self, words: Words) -> None:
        """`fault on|off KIND A B ... [rate=0.5] [span=1..2000]`."""
        kind, names = Kind(words.place(1)), words.places[2:]
        if words.place(0) == "off":
            self._stage.faults.off(kind, *names)
            return
        rate, span = float(words.options.get("rate", 1)), parse_span(words.options.get("span", "0"))
        self._stage.faults.on(kind, *names, rate=rate, span_ms=span)

    def do_heal(self, words: Words) -> None:  # noqa: ARG002 - one shape for all commands
        """`heal`: no faults any more."""
        self._stage.faults.heal()

    def do_broker(self, words: Words) -> None:
        """`broker stop|start|restart [keep=all|x|nothing] [down=1s]`, `broker rollback x|forget mail|config k=v`."""
        broker, what = self._stage.broker, words.place(0)
        kept = words.options.get("keep", "all")
        keep: Literal["all"] | dict[str, bytes] = "all" if kept == "all" else self._brokers[kept]
        if what == "stop":
            broker.stop()
        elif what == "start":
            broker.start(keep)
        elif what == "restart":
            broker.restart(keep, down_ms=words.time_ms("down", "0"))
        elif what == "rollback":
            broker.roll_back(self._brokers[words.place(1)])
        elif what == "forget":
            for letter in "im":
                broker.forget(f"{self._stage.world.keys.prefix}/{letter}/#")
        elif what == "config":
            for name, value in words.options.items():
                setattr(broker.config, name, int(value) if value.isdigit() else value)
        else:
            raise UsageError(f"broker cannot {what}")

    # --- outsiders and members who cheat -----------------------------------------------------------------------

    def do_outsider(self, words: Words) -> None:
        """`outsider TOPIC [A] [SLOT] junk=BYTES|empty|says=NAME [passing]`: bytes on a topic, retained or passing."""
        topic = self._forger.topic(words.without("empty", "passing"))
        if "says" in words.options:
            payload = self._messages[words.options["says"]]
        else:
            payload = self._stage.scheduler.random.randbytes(int(words.options.get("junk", 0)))
        self._stage.broker.inject(topic, payload, retain="passing" not in words.places)

    def do_record(self, words: Words) -> None:
        """`record TOPIC [A] [SLOT] as=NAME`: an outsider keeps what is retained there."""
        topic = self._forger.topic(words.places)
        self._messages[words.options["as"]] = dict(self._stage.broker.retained(topic))[topic]

    def do_member(self, words: Words) -> None:
        """`member claims A:9 [in=B|as=B]|announces|redacts|blanks A:9|poisons A from=5|splits A at=3`: no scruples."""
        self._forger.act(words)

    # --- time --------------------------------------------------------------------------------------------------

    def do_wait(self, words: Words) -> None:
        """`wait 5s`."""
        self._stage.run(parse_time_ms(words.place(0)))

    def do_until(self, words: Words) -> None:
        """`until CONDITION [within=60s]`: lets time pass; it must come true."""
        limit_ms = words.time_ms("within", "60s")
        if not self._stage.run_until(lambda: self._conditions.hold(words), limit_ms):
            raise Violation("until", f"not within {limit_ms // 1_000} s: {self._conditions.why_not(words)}")

    def do_expect(self, words: Words) -> None:
        """`expect CONDITION`: it must be true now."""
        if not self._conditions.hold(words):
            raise Violation("expect", self._conditions.why_not(words))
