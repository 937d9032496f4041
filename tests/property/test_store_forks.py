"""Cloned devices and redactions in any schedule: in the end all hold the same branches under the same names, and
the same bytes (P3.10, P4.6)."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from hcom_replica.core.hello import NAME, Rename, system_draft
from hcom_replica.ids import EventId
from hcom_replica.wire.event import RedactedEvent, decode_event, is_system
from tests.unit.store.devices import NOW, Device, answers, check_log, converge, send

PICK = st.integers(0, 1000)
DEVICES_MAX = 6


class Clones(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.devices = [Device("BOXE"), Device("NOVA")]
        self.bodies: list[str] = []
        self.gone: set[str] = set()
        self.draw = 100

    def pick(self, number: int) -> Device:
        return self.devices[number % len(self.devices)]

    @rule(number=PICK, count=st.sampled_from([1, 2, 10, 100, 300]), ahead=st.sampled_from([0, 1, 5000]))
    def emit(self, number: int, count: int, ahead: int) -> None:
        bodies = [f"{len(self.bodies) + n}" for n in range(count)]
        self.bodies += bodies
        self.pick(number).emit(*bodies, now_ms=NOW + ahead)

    @rule(number=PICK, name=st.sampled_from(["LUNA", "ROSE"]))
    def rename(self, number: int, name: str) -> None:
        self.pick(number).log.append([system_draft(NAME, Rename(name))], NOW)

    @rule(number=PICK, which=PICK)
    def redact(self, number: int, which: int) -> None:
        device = self.pick(number)
        mine = {state.id for state in device.log.origins() if state.key == device.writer.device.public}
        events = [(row, decode_event(row.record)) for row in device.log.events() if row.origin in mine]
        plain = [(row, event) for row, event in events if not is_system(event.kind)]
        if plain:
            row, event = plain[which % len(plain)]
            said = device.redact(EventId(row.origin, row.seq))
            assert (said is None) == isinstance(event, RedactedEvent)
            self.gone |= {event.body.decode()} if said is not None else set()

    @precondition(lambda self: len(self.devices) < DEVICES_MAX)
    @rule(number=PICK)
    def clone(self, number: int) -> None:
        self.draw += 1
        self.devices.append(self.pick(number).clone(self.draw))

    @rule(giver=PICK, taker=PICK, raw_bytes=st.sampled_from([1, 1 << 20]))
    def send_everything(self, giver: int, taker: int, raw_bytes: int) -> None:
        if self.pick(giver) is not self.pick(taker):
            send(self.pick(giver), self.pick(taker), raw_bytes)

    @rule(giver=PICK, taker=PICK, which=PICK)
    def send_one_origin_from_where_the_other_is(self, giver: int, taker: int, which: int) -> None:
        states = self.pick(giver).log.origins()
        if not states or self.pick(giver) is self.pick(taker):
            return
        state = states[which % len(states)]
        known = self.pick(taker).log.origin_state(state.id)
        first = state.base + 1 if known is None else min(known.seq, state.seq) + 1
        runs = list(answers(self.pick(giver), self.pick(taker), state.id, first, 1 << 20))
        self.pick(taker).log.ingest(runs, NOW)

    def teardown(self) -> None:
        converge(self.devices)
        for device in self.devices:
            check_log(device)
            assert sorted(device.bodies()) == sorted("" if body in self.gone else body for body in self.bodies)
            assert device.log.origins() == self.devices[0].log.origins()
        assert [list(device.log.events()) for device in self.devices[1:]] == [
            list(self.devices[0].log.events()) for _ in self.devices[1:]
        ]


TestClones = Clones.TestCase
TestClones.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)
