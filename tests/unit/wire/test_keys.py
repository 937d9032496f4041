"""What is derived from a group's secret (P5.2), and what shows of it."""

from __future__ import annotations

from itertools import combinations

from hcom_replica.wire.keys import GroupKeys

KEYS = GroupKeys(b"group-of-16bytes", b"a secret of thirty-two bytes....")


def test_first_epoch_is_one() -> None:
    """P2.1"""
    assert KEYS.epoch == 1
    assert KEYS.derive("seal") == GroupKeys(KEYS.group, KEYS.secret, 1).derive("seal")


def test_key_of_every_label_epoch_group_and_secret_is_another() -> None:
    """P5.2"""
    others = [
        KEYS,
        GroupKeys(KEYS.group, KEYS.secret, 2),
        GroupKeys(KEYS.group, KEYS.secret, 1 << 16),
        GroupKeys(bytes(16), KEYS.secret),
        GroupKeys(KEYS.group, bytes(32)),
    ]
    derived = [keys.derive(label) for keys in others for label in ("seal", "leaf", "topic", "")]
    assert all(len(key) == 32 for key in derived)
    assert all(one != two for one, two in combinations(derived, 2))


def test_prefix_is_sixteen_hex_digits_of_the_topic_key() -> None:
    assert KEYS.derive("topic").hex().startswith(KEYS.prefix)
    assert len(KEYS.prefix) == 16


def test_keys_print_no_secret() -> None:
    shown = repr(KEYS)
    for secret in (KEYS.secret, KEYS.seal, KEYS.leaf):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
