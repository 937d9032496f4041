"""Which revocations count, and who hears of one whose author was shut out itself (protocol-v1 section 12)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from hcom_replica.core.book import Book
from hcom_replica.core.knowledge import Knowledge
from hcom_replica.core.membership import Membership, Viewer, judge
from hcom_replica.core.peers import Peers
from hcom_replica.wire.epoch import EpochRecord, Notice, certify, decode_notice, encode_notice, make_record
from hcom_replica.wire.keys import GroupKeys
from tests.unit.core.builders import KEYS, Device

A, B, C, D = (Device(name) for name in "ABCD")
ALL = (A, B, C, D)
for _device in ALL:
    _device.append()
SECOND, OTHER, THIRD = (GroupKeys(KEYS.group, bytes([number]) * 32, number) for number in (2, 2, 3))


def record(keys: GroupKeys, author: Device, has: str, revokes: str = "") -> EpochRecord:
    names = dict(zip("ABCD", ALL, strict=True))
    boxes, revoked = ([names[name].key.public for name in text] for text in (has, revokes))
    return make_record(keys, author.key, boxes, revoked, random.Random(keys.epoch).randbytes)


BY_A = record(SECOND, A, "ABD", revokes="C")
"""The founder revokes C: heard of, while nobody has the part of its log that says so."""

BY_B = record(OTHER, B, "BCD", revokes="A")
"""At the same time B revokes the founder: both count, as neither is named by somebody senior."""


def book(*records: EpochRecord) -> Book:
    """A founded the group and let the others in; the log holds these records."""
    made = Book()
    made.certificates.update(certify(KEYS.group, A.key, number, d.key.public) for number, d in enumerate((B, C, D), 1))
    made.records.update(one.encoded for one in records)
    return made


def seen_by(device: Device, said: Book, heard: Iterable[Notice] = ()) -> Membership:
    hellos = [one.key.public for one in ALL]
    return judge(Viewer(device.key, KEYS, A.key.public), said, hellos, (), heard)


def knowing(device: Device, said: Book) -> Knowledge:
    """What a device knows whose log holds nothing of the others; what it says of members is `said`."""
    knowledge = Knowledge(device.log, Peers(KEYS.group), 1, Viewer(device.key, KEYS, A.key.public))
    knowledge.members.book.certificates.update(said.certificates)
    knowledge.members.book.records.update(said.records)
    knowledge.hear(Notice((BY_B,), ()))  # judges anew
    return knowledge


def test_revocation_by_one_that_is_revoked_itself_is_told_on_until_the_log_holds_it() -> None:
    """P12.7, P12.9, P12.13: else those who heard of it and those who did not follow each other's epochs for ever"""
    heard = Notice((BY_A,), ())
    found = seen_by(D, book(BY_B), [heard])
    assert found.revoked == {A.key.public: B.key.public, C.key.public: A.key.public}
    assert BY_A not in found.records
    assert found.is_untold()
    told = found.notice()
    assert told is not None
    assert told.records == (BY_B, BY_A)
    logged = book(BY_B)
    logged.notices.add(encode_notice(told))
    after = seen_by(D, logged)
    assert after.revoked == found.revoked
    assert not after.is_untold()


def test_notice_of_an_epoch_that_is_known_is_heard_for_whom_else_it_says_is_revoked() -> None:
    """P12.14: though the author of that word is revoked by what is known"""
    knowledge = knowing(D, book(BY_B))
    assert knowledge.membership is not None
    assert knowledge.membership.revoked.keys() == {A.key.public}
    told = decode_notice(KEYS.group, encode_notice(Notice((BY_B, BY_A), ())))
    assert knowledge.hear(told)
    assert knowledge.membership.revoked.keys() == {A.key.public, C.key.public}
    assert not knowledge.hear(told)


def test_of_a_revoked_author_nothing_else_is_told_or_kept() -> None:
    """P12.8: its epochs count for nothing"""
    more = record(THIRD, A, "AB")
    knowledge = knowing(D, book(BY_B))
    assert not knowledge.hear(Notice((more,), ()))
    assert knowledge.membership is not None
    assert not knowledge.counts(more)
    again = [record(GroupKeys(KEYS.group, bytes([9]) * 32, number), A, "AB", revokes="C") for number in range(9, 19)]
    for one in again:
        knowledge.hear(Notice((one,), ()))
    assert [one.author for one in knowledge.membership.telling] == [A.key.public, B.key.public]


def test_device_without_a_rank_doubts_what_it_heard_of_those_whose_token_it_has() -> None:
    """P12.13: and of no other epoch; whoever has a rank makes a new one"""
    newcomer, heard = Device("E"), [Notice((BY_B,), tuple(book().certificates))]
    hellos = [newcomer.key.public]
    found = judge(Viewer(newcomer.key, THIRD, A.key.public), Book(), hellos, (), heard)
    doubt = found.doubt()
    assert doubt is not None
    assert doubt.records == (BY_B,)
    assert [one.device for one in doubt.certificates] == [B.key.public]
    assert found.notice() is None
    answered = judge(found.viewer, Book(), hellos, (), [*heard, Notice((record(THIRD, A, "A", "B"),), ())])
    assert answered.doubt() is None
    assert judge(found.viewer, Book(), hellos, ()).doubt() is None
    assert seen_by(D, book(), heard).doubt() is None


def test_newcomer_with_the_token_of_one_whose_rank_it_does_not_know_yet_is_not_shut_out() -> None:
    """P12.16: by a later epoch of the founder, whom that one has revoked; what gives it a rank may still come"""
    newcomer, later = Device("E"), record(THIRD, A, "AD")
    viewer, hellos = Viewer(newcomer.key, OTHER, A.key.public), [newcomer.key.public]
    said = Book()
    said.records.update([later.encoded, BY_B.encoded])
    assert judge(viewer, said, hellos, ()).shut_out == ""
    said.certificates.update(book().certificates)
    assert judge(viewer, said, hellos, ()).revoked.keys() == {A.key.public}
    assert judge(viewer, said, hellos, ()).shut_out == ""
    stranger = Book()
    stranger.records.add(later.encoded)
    assert judge(viewer, stranger, hellos, ()).shut_out == "old token"
    stranger.records.add(record(OTHER, B, "BCD").encoded)
    stranger.certificates.update(book().certificates)
    assert judge(viewer, stranger, hellos, ()).shut_out == "old token", "it is known whose the token is: an older one"
