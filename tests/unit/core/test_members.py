"""Names, links and departures, folded from the system events (protocol-v1 3.6, 3.7)."""

from __future__ import annotations

from hcom_replica.core.append import Writer
from hcom_replica.core.hello import (
    HELLO,
    NAME,
    REPLACE,
    RETIRE,
    RETURN,
    Hello,
    Link,
    Rename,
    Replace,
    Retire,
    Return,
    read_system,
    system_draft,
)
from hcom_replica.core.members import Members, display_names, newest_generation, read_members
from hcom_replica.core.origin import OriginState
from hcom_replica.store.log import Log
from hcom_replica.wire.event import Draft
from hcom_replica.wire.names import name_of, suffix_of
from hcom_replica.wire.signing import device_id
from tests.unit.core.builders import KEYS, WALL, Device, draft


def device_of(device: Device) -> bytes:
    return device_id(device.key.public)


def hello_with_link(device: Device, origin: str) -> Draft:
    """A hello that states what was held of an origin."""
    return system_draft(HELLO, Hello(device.key.public.hex(), "00", device.name, Link(origin, 1_000_000, "00")))


def test_name_is_the_one_stated_last() -> None:
    boxe = Device("BOXE")
    boxe.append(draft())
    assert read_members(boxe.log).names == {device_of(boxe): "BOXE"}
    boxe.append(system_draft(NAME, Rename("LUNA")))
    assert read_members(boxe.log).names == {device_of(boxe): "LUNA"}


def test_fold_is_the_same_in_whatever_order_logs_were_met() -> None:
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.append(draft())
    nova.append(system_draft(RETIRE, Retire(device_of(boxe).hex(), {boxe.own.id.hex(): 1})))
    boxe.append(system_draft(RETURN, Return(device_of(boxe).hex())), now_ms=WALL + 5)
    nova.send_to(boxe)
    boxe.send_to(nova)
    assert read_members(boxe.log) == read_members(nova.log)
    assert read_members(boxe.log).retired == {}


def test_retired_device_counts_up_to_the_highest_seq_stated() -> None:
    """Two members retire a device, and know of it to different lengths."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    gone, origin = device_of(Device("GONE")), b"origin--"
    boxe.append(system_draft(RETIRE, Retire(gone.hex(), {origin.hex(): 5})))
    nova.append(system_draft(RETIRE, Retire(gone.hex(), {origin.hex(): 9, "zz": 1})))
    nova.send_to(boxe)
    members = read_members(boxe.log)
    assert members.cap(boxe.own.id) is None
    assert members.cap(type(boxe.own.id)(origin)) == 9


def test_request_to_take_a_place_changes_nothing_by_itself() -> None:
    """P3.7"""
    old, new = Device("BOXE"), Device("NEW")
    old.append(draft())
    new.append(
        system_draft(NAME, Rename("BOXE")), system_draft(REPLACE, Replace(device_of(old).hex())), now_ms=WALL + 5
    )
    old.send_to(new)
    members = read_members(new.log)
    assert members.replacing == {device_of(new): device_of(old)}
    assert members.retired == {}
    names = display_names(members, [device_of(old), device_of(new)])
    assert set(names.values()) == {f"BOXE-{suffix_of(device_of(device))}" for device in (old, new)}


def test_link_states_what_was_held_of_the_incarnation_before() -> None:
    boxe = Device("BOXE")
    boxe.append(draft(), draft())
    old = boxe.own
    boxe.log.open_incarnation("test", WALL)
    assert read_members(boxe.log).linked == {old.id: {(old.seq, old.tip)}}


def test_link_to_the_log_of_another_device_says_nothing_of_its_length() -> None:
    """P6.4: an origin's length is stated by its own device; or anybody could make all others wait for ever."""
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.append(draft())
    nova.append(hello_with_link(nova, boxe.own.id.hex()))
    nova.log.open_incarnation("a first one has no link that counts", WALL)
    nova.append(hello_with_link(nova, boxe.own.id.hex()))
    nova.send_to(boxe)
    assert boxe.own.id not in read_members(boxe.log).linked


def test_link_to_what_is_no_origin_is_ignored() -> None:
    boxe = Device("BOXE")
    boxe.append()
    boxe.log.open_incarnation("test", WALL)
    linked = read_members(boxe.log).linked
    for name in ("", "00", "no hex"):
        boxe.append(hello_with_link(boxe, name))
    assert read_members(boxe.log).linked == linked


class Racing(Log):
    """A log into which another process brings an origin between two reads."""

    coming: Device | None = None

    def origins(self) -> list[OriginState]:
        before = super().origins()
        if self.coming is not None:
            self.ingest([self.coming.run()], WALL)
            self.coming = None
        return before


def test_origin_that_comes_in_between_two_reads_is_folded_with_the_next() -> None:
    boxe, nova = Device("BOXE"), Device("NOVA")
    boxe.append()
    nova.append()
    log = Racing(boxe.kv, KEYS.group, Writer(boxe.key, KEYS.group, "BOXE"))
    log.coming = nova
    assert read_members(log).names == {device_of(boxe): "BOXE"}
    assert read_members(log).names == {device_of(boxe): "BOXE", device_of(nova): "NOVA"}


def test_system_event_that_is_not_as_it_should_be_is_ignored() -> None:
    """P3.7: unknown ones are kept and ignored"""
    boxe = Device("BOXE")
    odd = [
        Draft("_name", None, None, b"not json"),
        Draft("_name", None, None, b'{"name":7}'),
        Draft("_name", None, None, b'{"name":"A NAME THAT IS TOO LONG"}'),
        Draft("_name", None, None, b'{"name":"\xff"}'),
        Draft("_retire", None, None, b'{"device":"00","last":{"00":-1}}'),
        Draft("_retire", None, None, b"[" * 10_000),
        Draft("_unheard-of", None, None, b"{}"),
    ]
    boxe.append(*odd)
    assert read_members(boxe.log) == Members({device_of(boxe): "BOXE"})
    assert read_system("note", b"{}") is None


def test_devices_that_claim_one_name_carry_a_suffix_while_both_are_there() -> None:
    one, two, three = b"\x01" * 8, b"\x02" * 8, b"\x03" * 8
    members = Members({one: "BOXE", two: "BOXE"})
    assert display_names(members, [one, two, three]) == {
        one: f"BOXE-{suffix_of(one)}",
        two: f"BOXE-{suffix_of(two)}",
        three: name_of(three),
    }
    assert display_names(Members({one: "BOXE", two: "BOXE"}, {two: {}}), [one, two]) == {one: "BOXE", two: "BOXE"}


def test_newest_generation_of_a_device_is_that_of_its_latest_incarnation() -> None:
    boxe = Device("BOXE")
    boxe.append(draft())
    boxe.log.open_incarnation("test", WALL)
    assert newest_generation(boxe.log.origins()) == {device_of(boxe): 2}
