"""Revocation and rotation in virtual time: who hears of it, what is lost, what stays (protocol-v1 section 12)."""

from __future__ import annotations

import pytest

from hcom_replica.core.membership import Membership
from hcom_replica.errors import UsageError
from hcom_replica.testing.cluster import MINUTE_MS, Cluster
from hcom_replica.wire.frame import open_frame
from hcom_replica.wire.keys import GroupKeys
from hcom_replica.wire.messages import decode_index
from hcom_replica.wire.topics import Topics


def founded(devices: int = 3, seed: int = 7) -> Cluster:
    """A group whose members are admitted and have all written."""
    cluster = Cluster(seed, devices, founded=True)
    for name in cluster.devices:
        cluster.append(name)
    assert cluster.run_until(lambda: admitted(cluster), MINUTE_MS)
    assert cluster.run_until_quiet()
    return cluster


def admitted(cluster: Cluster) -> bool:
    """Whether every device that runs knows of a rank of every device."""
    running = [name for name, device in cluster.devices.items() if device.running]
    return all(len(membership(cluster, name).ranks) == len(cluster.devices) for name in running)


def membership(cluster: Cluster, name: str) -> Membership:
    found = cluster[name].machine.membership
    assert found is not None
    return found


def epochs(cluster: Cluster, names: str) -> set[GroupKeys]:
    return {cluster[name].machine.epoch for name in names}


def moved_on(cluster: Cluster, names: str, number: int) -> bool:
    """Whether all of them come to be in one and the same epoch, know so of each other, and hold the same."""
    return cluster.run_until(
        lambda: (
            {keys.epoch for keys in epochs(cluster, names)} == {number}
            and len(epochs(cluster, names)) == 1
            and not any(membership(cluster, name).awaited() for name in names)
            and cluster.converged(names)
        ),
        10 * MINUTE_MS,
    )


def left_behind(cluster: Cluster, keys: GroupKeys, names: str) -> list[str]:
    """The retained messages under an epoch's topics that are these devices'."""
    topics = Topics(keys)
    leaves = [topics.leaf(cluster.own(name).id) for name in names]
    lying = [topic for topic, _ in cluster.broker.retained(f"{keys.prefix}/#")]
    return [topic for topic in lying if any(leaf in topic for leaf in leaves)]


def rekeying(cluster: Cluster, keys: GroupKeys) -> list[str]:
    """The notices under an epoch's topics."""
    return [topic for topic, _ in cluster.broker.retained(f"{keys.prefix}/r/#")]


def test_devices_are_admitted_by_the_most_senior_one_online() -> None:
    """P12.3"""
    cluster = founded()
    assert membership(cluster, "C").ranks[cluster["A"].key.public].path == ()
    assert {membership(cluster, "A").ranks[cluster[name].key.public].depth for name in "BC"} == {1}
    cluster["A"].crash()
    cluster.join("D").start()
    cluster.append("D")
    cluster.run(MINUTE_MS)
    assert membership(cluster, "B").ranks[cluster["D"].key.public].depth == 2


def test_revoked_device_reads_and_writes_nothing_newer() -> None:
    """P12.6, P12.8, P12.9, P12.16"""
    cluster = founded()
    cluster.revoke("A", "C")
    assert moved_on(cluster, "AB", 2)
    assert membership(cluster, "C").shut_out == "revoked"
    secret, late = cluster.append("A"), cluster.append("C")
    cluster.run(MINUTE_MS)
    assert secret[0].seq > cluster.vector("C").get(secret[0].origin, (0, b""))[0]
    assert late[0].seq > cluster.vector("A").get(late[0].origin, (0, b""))[0]
    assert cluster.converged("AB")


def test_nothing_of_ours_stays_under_the_earlier_topics() -> None:
    """P12.15"""
    cluster = founded()
    cluster.append("B", 50)
    cluster.run(200)
    cluster.revoke("A", "C")
    assert moved_on(cluster, "AB", 2)
    assert cluster.run_until(lambda: not left_behind(cluster, cluster.world.keys, "AB"), 2 * MINUTE_MS)
    assert left_behind(cluster, cluster.world.keys, "C")


def test_broker_that_rolls_back_shows_earlier_slots_and_they_are_cleared_again() -> None:
    """P12.15"""
    cluster = founded()
    before = cluster.broker.snapshot()
    cluster.revoke("A")
    assert moved_on(cluster, "ABC", 2)
    assert cluster.run_until(lambda: not left_behind(cluster, cluster.world.keys, "ABC"), 2 * MINUTE_MS)
    cluster.broker.restart(before)
    assert left_behind(cluster, cluster.world.keys, "ABC")
    assert cluster.run_until(lambda: not left_behind(cluster, cluster.world.keys, "ABC"), 5 * MINUTE_MS)
    assert cluster.run_until_quiet()


def test_device_away_for_three_epochs_with_the_broker_wiped_in_each_comes_back() -> None:
    """P12.13, P12.14, P12.17"""
    cluster = founded()
    cluster["C"].crash()
    cluster.append("C", 5)
    for number in (2, 3, 4):
        cluster.append("A", 3)
        cluster.revoke("A" if number % 2 else "B")
        cluster.run(MINUTE_MS)
        assert {keys.epoch for keys in epochs(cluster, "AB")} == {number}
        cluster.broker.restart("nothing")
        cluster.run(MINUTE_MS)
    cluster["C"].start()
    assert moved_on(cluster, "ABC", 4)
    assert cluster.run_until_quiet()


def test_mail_that_an_absent_member_left_before_the_change_is_read_after_it() -> None:
    """P12.13: the mailbox may be all there is; and who reads it may never have been connected in that epoch since"""
    cluster = founded()
    cluster.offline("A", "B", broker_after_ms=0)
    cluster.run(1_000)
    mail = cluster.append("C", 40)
    cluster.run(MINUTE_MS)
    cluster["C"].crash()  # and its disk is lost
    cluster.revoke("A")
    for name in "AB":  # B would read the mail while it does not know of the change yet
        cluster.online(name)
        cluster.run(5 * MINUTE_MS)
        assert cluster[name].machine.epoch.epoch == 2
        assert cluster.vector(name)[mail[-1].origin][0] >= mail[-1].seq


def test_two_revocations_at_once_both_count_and_neither_device_reads_on() -> None:
    """P12.7, P12.10"""
    cluster = founded(5)
    cluster.offline("A", "B")
    cluster.run(1_000)
    cluster.revoke("A", "D")
    cluster.revoke("B", "E")
    cluster.online("A", "B")
    assert moved_on(cluster, "ABC", 3)
    for name in "ABC":
        assert set(membership(cluster, name).revoked) == {cluster[victim].key.public for victim in "DE"}
    secret = cluster.append("C")
    cluster.run(MINUTE_MS)
    for name in "DE":
        assert secret[0].seq > cluster.vector(name).get(secret[0].origin, (0, b""))[0]


def test_senior_that_comes_in_by_the_token_of_an_epoch_made_by_whom_it_revoked_makes_another() -> None:
    """P12.10: of the two revocations only the senior one counts, and the others have not heard of it"""
    cluster = founded()
    cluster.offline("A", broker_after_ms=0)
    cluster.revoke("B", "A")
    cluster.revoke("A", "B")
    assert moved_on(cluster, "BC", 2)
    cluster.revoke("B")
    assert moved_on(cluster, "BC", 3)  # a number above that of A's own
    cluster["A"].tokens.append(cluster["C"].machine.epoch)
    cluster.restart("A")
    cluster.online("A")
    assert moved_on(cluster, "AC", 4)
    assert membership(cluster, "C").revoked.keys() == {cluster["B"].key.public}
    cluster.run(MINUTE_MS)
    assert membership(cluster, "B").shut_out == "revoked"


def test_newcomer_that_has_only_heard_of_a_junior_revocation_asks_and_is_answered() -> None:
    """P12.13: all who are in its epoch know of a senior one, and nobody is waited for"""
    cluster = founded(2)
    cluster.offline("A", broker_after_ms=0)
    cluster.revoke("A", "B")
    cluster.revoke("B", "A")
    assert cluster.run_until(lambda: bool(rekeying(cluster, cluster.world.keys)), MINUTE_MS)
    cluster["B"].crash()
    cluster.online("A")
    cluster.run(5 * MINUTE_MS)
    cluster.join("C")
    cluster["C"].tokens.append(cluster.token("A"))
    cluster["C"].start()
    cluster.append("C")
    assert moved_on(cluster, "AC", 2)
    for name in "AC":
        assert membership(cluster, name).revoked.keys() == {cluster["B"].key.public}
    assert cluster.run_until(lambda: not rekeying(cluster, cluster["A"].machine.epoch), 5 * MINUTE_MS)


def test_thief_who_revokes_everybody_first_is_shut_out_by_who_is_senior() -> None:
    """P12.7"""
    cluster = founded(4)
    thief = max("BCD", key=lambda name: membership(cluster, "A").ranks[cluster[name].key.public])
    honest = "".join(sorted({*"ABCD"} - {thief}))
    cluster.revoke(thief, *honest)
    cluster.run(MINUTE_MS)
    assert all(membership(cluster, name).shut_out == "revoked" for name in honest)
    cluster.revoke("A", thief)
    assert moved_on(cluster, honest, 2)
    assert membership(cluster, thief).shut_out == "revoked"
    cluster.append(honest[1])
    assert cluster.run_until_converged(names=honest)


def test_cut_is_what_any_remaining_member_holds() -> None:
    """P12.11, P12.12: a partitioned member has seen more of the revoked device than the one that revokes it"""
    cluster = founded(4)
    cluster.offline("A", "B")
    cluster.run(1_000)
    cluster.append("D", 50)
    assert cluster.run_until_converged(names="CD")
    cluster.revoke("A", "D")
    cluster.offline("D")
    cluster.append("D", 10)
    cluster.online("A", "B")
    assert moved_on(cluster, "ABC", 2)
    origin = cluster.own("D").id
    held = {cluster.vector(name)[origin][0] for name in "ABC"}
    assert held == {cluster.own("D").seq - 10}
    cluster.online("D")
    cluster.run(2 * MINUTE_MS)
    assert {cluster.vector(name)[origin][0] for name in "ABC"} == held
    assert cluster.run_until(lambda: not any(cluster.lags()[name] for name in "ABC"), MINUTE_MS)


def test_what_a_revoked_device_goes_on_writing_is_taken_from_nobody() -> None:
    """P12.11, P12.12: it pretends not to have heard of it, and leaves mail under the topics that it knows"""
    cluster = founded(4)
    cluster["C"].crash()  # so that the others go on reading there
    thief = cluster["D"].machine
    thief._c.knowledge.hear = lambda notice: False  # type: ignore[method-assign]
    cluster.revoke("A", "D")
    cluster.run(MINUTE_MS)
    cluster.append("D", 40)
    cluster.run(3 * MINUTE_MS)
    assert membership(cluster, "D").shut_out == ""
    assert any(topic.split("/")[1] == "m" for topic in left_behind(cluster, cluster.world.keys, "D"))
    cluster["C"].start()
    assert moved_on(cluster, "ABC", 2)
    assert {cluster.vector(name)[cluster.own("D").id][0] for name in "ABC"} == {cluster.own("D").seq - 40}


def test_rotation_without_a_revocation_moves_all_to_a_new_key() -> None:
    """P12.6"""
    cluster = founded()
    cluster.revoke("B")
    assert moved_on(cluster, "ABC", 2)
    cluster.append("C", 10)
    assert cluster.run_until_quiet()


def test_device_cannot_revoke_itself_and_needs_a_rank() -> None:
    """P12.6"""
    cluster = founded()
    with pytest.raises(UsageError, match="itself"):
        cluster.revoke("A", "A")
    cluster.join("D")
    cluster.append("D")
    with pytest.raises(UsageError, match="admitted"):
        cluster.revoke("D", "A")


def test_newcomer_with_a_token_from_before_is_told_so_and_comes_in_with_a_new_one() -> None:
    """P12.16"""
    cluster = founded()
    cluster["C"].crash()  # so that the earlier epoch stays open
    cluster.revoke("A")
    cluster.run(MINUTE_MS)
    cluster.join("D").start()
    cluster.append("D")
    cluster.run(MINUTE_MS)
    assert membership(cluster, "D").shut_out == "old token"
    cluster["D"].crash()
    cluster["D"].tokens.append(cluster.token("A"))
    cluster["D"].start()
    assert cluster.run_until(lambda: cluster.converged("ABD"), 5 * MINUTE_MS)


def test_member_that_the_author_did_not_know_is_given_the_key_by_another_epoch() -> None:
    """P12.10"""
    cluster = founded()
    cluster.offline("B")
    cluster.run(1_000)
    cluster.join("D").start()
    cluster.append("D")
    assert cluster.run_until(lambda: all(len(membership(cluster, name).ranks) == 4 for name in "ACD"), MINUTE_MS)
    cluster.revoke("B", "C")
    cluster.online("B")
    assert cluster.run_until(lambda: len(epochs(cluster, "ABD")) == 1, 10 * MINUTE_MS)
    assert cluster.run_until(lambda: cluster.converged("ABD"), 5 * MINUTE_MS)
    assert membership(cluster, "C").shut_out == "revoked"


def test_daemon_that_dies_between_any_two_effects_of_a_change_comes_out_of_it_whole() -> None:
    """P12.9, P12.17"""
    for effect in range(1, 40, 3):
        cluster = founded(seed=effect)
        cluster["B"].crash_before_effect(effect)
        cluster.revoke("A", "C")
        cluster.run(20_000)
        cluster["B"].start()
        assert moved_on(cluster, "AB", 2), effect


def test_device_whose_disk_is_full_adopts_when_there_is_room_again() -> None:
    """P12.9"""
    cluster = founded()
    cluster["B"].disk.full = True
    cluster.revoke("A", "C")
    cluster.run(MINUTE_MS)
    assert cluster["B"].machine.epoch.epoch == 1
    cluster["B"].disk.full = False
    assert moved_on(cluster, "AB", 2)


def test_mail_that_was_left_behind_before_the_key_was_changed_goes_over_into_the_mailbox_of_now() -> None:
    """P12.15: the ring of an earlier incarnation of this process stands under other topics than those that are read"""
    cluster = founded(2)
    cluster.stop("B")
    before = cluster.append("A", 3)[-1]
    assert cluster.run_until(lambda: bool(cluster.mail()), MINUTE_MS)
    cluster["A"].log.open_incarnation("test", cluster["A"].now.wall_ms)
    cluster.append("A")
    cluster.run(MINUTE_MS)
    cluster.revoke("A")
    cluster.run(2 * MINUTE_MS)
    indexes = [decode_index(payload) for payload in under(cluster, "i", cluster["A"].machine.epoch)]
    assert any(line.origin == before.origin and line.last >= before.seq for index in indexes for line in index.segments)
    cluster["B"].start()
    assert moved_on(cluster, "AB", 2)
    assert cluster.run_until_quiet()


def under(cluster: Cluster, kind: str, keys: GroupKeys) -> list[bytes]:
    """What stands in the slots of a kind under an epoch's topics."""
    found = cluster.broker.retained(f"{keys.prefix}/{kind}/#")
    return [open_frame(keys, topic, payload).payload for topic, payload in found]
