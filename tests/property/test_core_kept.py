"""The roster that is kept is the one that is judged anew, whatever comes, in which order, how often, and who looks."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hcom_replica.core.hello import NAME, RETIRE, ROSTER, Rename, Retire, Roster, System, system_draft
from hcom_replica.core.kept import RosterKeeper, basis_of
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.membership import Viewer
from hcom_replica.core.peers import Peers
from hcom_replica.core.roster import Roster as Judged
from hcom_replica.core.roster import logged_roster
from hcom_replica.core.settings import Settings
from hcom_replica.core.verify import verify_batch
from hcom_replica.store.kv import Table
from hcom_replica.store.memory_kv import MemoryKv
from tests.unit.core.builders import KEYS, WALL, Device, draft

NAMES = ("ANNA", "BERT", "CLEO")
FOUNDER = Device(NAMES[0]).key.public

who = st.sampled_from(NAMES)
some = st.lists(st.integers(0, 5), max_size=3, unique=True)


class Said(NamedTuple):
    """What a device writes: a word, and which origins it speaks of, by number."""

    by: str
    word: str
    named: list[int]
    seq: int


class Told(NamedTuple):
    """Somebody is told what another holds of an origin: as far as that goes, or its first event only."""

    to: str
    by: str
    origin: int
    whole: bool


class Look(NamedTuple):
    """A device looks, and its daemon may keep what it sees."""

    by: str
    keeps: bool


said = st.builds(
    Said, who, st.sampled_from(["enter", "close", "late", "retire", "name", "note", "reopen"]), some, st.integers(0, 4)
)
steps = st.lists(
    st.one_of(said, st.builds(Told, who, who, st.integers(0, 5), st.booleans()), st.builds(Look, who, st.booleans())),
    max_size=40,
)


class World:
    """Three devices, of which one is the founder, and everybody who has judged for them."""

    def __init__(self) -> None:
        self.devices = {name: Device(name) for name in NAMES}
        for device in self.devices.values():
            device.append()
        self.keepers = {name: RosterKeeper(device.log, self.viewer(device)) for name, device in self.devices.items()}
        self.knowing = {name: self.knowledge(device) for name, device in self.devices.items()}

    def viewer(self, device: Device) -> Viewer:
        return Viewer(device.key, KEYS, FOUNDER)

    def knowledge(self, device: Device) -> Knowledge:
        """What its daemon knows when it starts."""
        return Knowledge(device.log, Peers(KEYS.group), Settings().lease_ms, self.viewer(device))

    def write(self, said: Said) -> None:
        device = self.devices[said.by]
        if said.word == "reopen":
            device.log.open_incarnation("test", WALL)
            return
        origins = [state.id.hex() for state in device.log.origins()]
        named = [origins[number % len(origins)] for number in said.named]
        bodies: dict[str, tuple[str, System]] = {
            "enter": (ROSTER, Roster(named, {}, {})),
            "close": (ROSTER, Roster([], dict.fromkeys(named, (said.seq, said.seq)), {})),
            "late": (ROSTER, Roster([], {}, dict.fromkeys(named, said.seq))),
            "retire": (RETIRE, Retire(self.devices[NAMES[said.seq % 3]].own.device.hex(), {})),
            "name": (NAME, Rename(f"NAME-{said.seq}")),
        }
        device.append(system_draft(*bodies[said.word]) if said.word in bodies else draft())

    def tell(self, told: Told) -> None:
        giver, taker = self.devices[told.by], self.devices[told.to]
        states = giver.log.origins()
        state = states[told.origin % len(states)]
        known = taker.log.origin_state(state.id)
        first = 1 if known is None or told.whole else known.seq + 1
        if first <= state.seq:
            batch = giver.batch(state.id, first, 1 << 22 if told.whole else 1)
            taker.log.ingest([verify_batch(KEYS.group, batch, known)], WALL)

    def look(self, look: Look) -> None:
        device = self.devices[look.by]
        states = {state.id: state for state in device.log.origins()}
        anew = logged_roster(device.log, self.viewer(device), states)
        assert self.keepers[look.by].roster(states) == anew
        knowing = self.knowing[look.by]
        knowing.reload()
        assert knowing.roster == anew
        if look.keeps:
            device.log.note_peers([], knowing.kept_roster())
            assert device.log.kept_roster(basis_of(FOUNDER, states.values())) == anew
        assert device.log.kept_roster(basis_of(FOUNDER, states.values())) in (anew, None)
        assert self.knowledge(device).roster == anew, "a daemon that starts now reads what is kept"
        assert RosterKeeper(device.log, self.viewer(device)).roster(states) == anew


@settings(max_examples=200)
@given(steps)
def test_kept_roster_is_the_one_that_is_judged_anew(steps: list[Said | Told | Look]) -> None:
    """P13.3, P13.4, T2.8: for any events, any order, any repetition, and any restart"""
    world = World()
    for step in steps:
        if isinstance(step, Said):
            world.write(step)
        elif isinstance(step, Told):
            world.tell(step)
        else:
            world.look(step)
    for name in NAMES:
        world.look(Look(name, keeps=True))


def kept_device() -> tuple[Device, Judged]:
    """The founder's log with a roster that is kept."""
    world = World()
    for name in NAMES[1:]:
        world.tell(Told(NAMES[0], name, 0, whole=True))
    world.write(Said(NAMES[0], "enter", [0, 1, 2], 0))
    world.look(Look(NAMES[0], keeps=True))
    device = world.devices[NAMES[0]]
    roster = device.log.kept_roster(basis_of(FOUNDER, device.log.origins()))
    assert roster is not None
    assert len(roster.entries) == 3
    return device, roster


def test_kept_roster_of_another_founder_or_of_less_is_not_read() -> None:
    """T2.8"""
    device, _ = kept_device()
    basis = basis_of(FOUNDER, device.log.origins())
    assert device.log.kept_roster(basis._replace(founder=bytes(32))) is None
    assert device.log.kept_roster(basis._replace(system=basis.system + 1)) is None
    assert device.log.kept_roster(basis._replace(origins=basis.origins - 1)) is None


@pytest.mark.parametrize("key", [b"\x01", b"\x02"])
def test_damaged_roster_is_judged_anew(key: bytes) -> None:
    """T2.8: whatever bit of it changes; and it may be thrown away"""
    device, roster = kept_device()
    states = {state.id: state for state in device.log.origins()}
    kv: MemoryKv = device.kv
    with kv.read() as txn:
        row = txn.get(Table.VIEWS, key)
    assert row is not None
    changed = [bytes([*row[:at], row[at] ^ 1 << at % 8, *row[at + 1 :]]) for at in range(len(row))]
    for damaged in [*changed, row[:-1], b""]:
        with kv.write() as writing:
            writing.put(Table.VIEWS, key, damaged)
        assert device.log.kept_roster(basis_of(FOUNDER, states.values())) is None
        assert RosterKeeper(device.log, Viewer(device.key, KEYS, FOUNDER)).roster(states) == roster
