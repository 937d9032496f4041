"""The whole group goes to another broker: who is online, who was away, who cannot get in, and back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hcom_replica.testing.real.brokers import MosquittoBroker, PrivateBroker, any_broker
from hcom_replica.testing.real.waiting import wait_until
from hcom_replica.wire.token import decode_token
from tests.harness.group import WAIT_S, Group, Laptop, assert_equal_histories

pytestmark = pytest.mark.slow


@pytest.fixture
def other_broker(tmp_path: Path) -> Iterator[PrivateBroker]:
    with any_broker(tmp_path / "other") as broker:
        yield broker


def wait_until_at(laptop: Laptop, broker: PrivateBroker) -> None:
    laptop.wait_for_status(lambda s: s.broker.connected and s.broker.url == broker.url, f"at {broker.url}")


def admitted(laptop: Laptop) -> bool:
    return not any("not admitted" in row["flags"] for row in laptop.cli.json_lines("devices"))


def pair(group: Group) -> tuple[Laptop, Laptop]:
    a, b = group.add("BOXA"), group.add("BOXB")
    a.emit()
    b.wait_for_events(1)
    b.wait_for_status(lambda _: admitted(b), "all admitted")
    return a, b


def test_group_moves_and_one_that_was_away_follows_from_the_old_broker(
    tmp_path: Path, own_broker: PrivateBroker, other_broker: PrivateBroker
) -> None:
    """P16.2, P16.3, P16.4"""
    with Group(tmp_path, own_broker) as group:
        a, b = pair(group)
        away = group.add("AWAY")
        away.wait_for_events(1)
        away.wait_for_status(lambda _: admitted(away), "all admitted")
        away.stop()
        away.emit('"written while away"')

        moved = b.cli.json("relay", "move", other_broker.url)
        assert (moved["broker"], moved["moved"], moved["told"]) == (other_broker.url, True, True)
        assert b.status()["broker"]["moving_to"] is None
        wait_until_at(a, other_broker)
        wait_until_at(b, other_broker)
        for laptop in (a, b):
            token = decode_token(laptop.cli.json("relay", "token")["token"])
            assert token.brokers == (other_broker.url,)
            assert laptop.cli.json("relay")["broker"]["url"] == other_broker.url
            assert not (laptop.folder / "moved.from").exists()
        a.emit('"after"')
        away.start()
        wait_until_at(away, other_broker)
        own_broker.stop()
        for laptop in (a, b, away):
            laptop.wait_for_events(3)
        assert_equal_histories([a, b, away], 3)
        assert a.cli.json("flush", "--device", "AWAY", "--timeout", "30")["safe_in"] == "device"

        group.token = a.cli.json("relay", "token")["token"]
        late = Laptop(tmp_path, "LATE", other_broker.port)
        try:
            late.join(group.token)
            late.wait_for_events(3)
        finally:
            late.close()

        again = b.cli.json("relay", "move", other_broker.url)
        assert (again["moved"], again["told"]) == (False, True)


def test_move_without_a_daemon_and_back(tmp_path: Path, own_broker: PrivateBroker, other_broker: PrivateBroker) -> None:
    """P16.3"""
    with Group(tmp_path, own_broker) as group:
        a, b = pair(group)
        a.stop()
        assert a.cli.json("relay", "move", other_broker.url)["told"] is True
        assert a.cli.daemon_pid() is None
        wait_until_at(b, other_broker)
        a.start()
        wait_until_at(a, other_broker)
        assert b.cli.json("relay", "move", own_broker.url)["told"] is True
        wait_until_at(a, own_broker)
        wait_until_at(b, own_broker)
        a.emit()
        b.wait_for_events(2)
        assert_equal_histories([a, b], 2)


def test_move_to_a_broker_that_does_not_answer_changes_nothing(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P16.2"""
    with Group(tmp_path, own_broker) as group:
        a = group.add("BOXA")
        before = [(a.folder / name).read_bytes() for name in ("config.toml", "group.key")]
        events = a.cli.ok("events", "--system", "--json", "-n", "all")
        done = a.cli.run("relay", "move", "mqtt://127.0.0.1:1")
        assert done.returncode == 4
        assert done.stderr.startswith("error[broker]: mqtt://127.0.0.1:1: ")
        assert "hint: " in done.stderr
        assert [(a.folder / name).read_bytes() for name in ("config.toml", "group.key")] == before
        assert a.cli.ok("events", "--system", "--json", "-n", "all") == events
        assert a.cli.run("relay", "move", "http://x").returncode == 2
        a.cli.ok("relay", "off")
        off = a.cli.run("relay", "move", own_broker.url)
        assert (off.returncode, "relay on" in off.stderr) == (4, True)


def test_old_broker_is_dead_and_the_others_are_told_by_token(
    tmp_path: Path, own_broker: PrivateBroker, other_broker: PrivateBroker
) -> None:
    """P16.3: `relay connect` with the new token takes a member along."""
    with Group(tmp_path, own_broker) as group:
        a, b = pair(group)
        own_broker.stop()
        b.emit('"while there is no broker"')
        said = a.cli.ok("relay", "move", other_broker.url)
        assert "cannot be told there" in said
        wait_until_at(a, other_broker)
        token = said.split()[-1]
        assert b.cli.json("relay", "connect", token, "--timeout", "20")["broker"] == other_broker.url
        wait_until_at(b, other_broker)
        for laptop in (a, b):
            laptop.wait_for_events(2)
        assert_equal_histories([a, b], 2)


@pytest.mark.mosquitto
def test_new_broker_wants_a_password_that_one_member_has_not_given(tmp_path: Path, own_broker: PrivateBroker) -> None:
    """P16.6: it says so, looks in at the old one meanwhile, and shows the new one no password of the old one."""
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    with Group(tmp_path, own_broker) as group, MosquittoBroker(tmp_path / "m", password=("u", "s3cret")) as guarded:
        a, b = pair(group)
        refused = a.cli.run("relay", "move", guarded.url)
        assert refused.returncode == 4
        assert "refused" in refused.stderr
        moved = a.cli.json("relay", "move", guarded.url, "--username", "u", "--password-file", str(secret))
        assert moved["told"] is True
        wait_until_at(a, guarded)
        found = b.wait_for_status(
            lambda s: s.broker.connected and any("refused" in text for text in s.warnings), "the hint, at the old one"
        )
        assert found.broker.moving_to == guarded.url
        assert any(f"relay move {guarded.url} --username" in text for text in found.warnings)
        b.emit()
        flushed = b.cli.run("flush", "--timeout", "3", "--json")
        assert flushed.returncode == 1
        assert "another broker" in flushed.stdout
        given = b.cli.json("relay", "move", guarded.url, "--username", "u", "--password-file", str(secret))
        assert given["moved"] is False
        wait_until_at(b, guarded)
        wait_until(lambda: not (b.folder / "moved.from").exists(), WAIT_S, "it has arrived")
        a.wait_for_events(2)
        assert_equal_histories([a, b], 2)
