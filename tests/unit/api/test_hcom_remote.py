"""The answer to a durable wish (hcom-bridge-v1 B7.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hcom_replica.api.hcom_remote import _answer
from hcom_replica.api.replica import Replica
from hcom_replica.bridge.wishes import ANSWER, Wish
from hcom_replica.folder.paths import Folder
from hcom_replica.wire.event import Draft
from hcom_replica.wire.token import JoinToken
from tests.harness.folders import device_folder
from tests.unit.core.builders import KEYS, WALL, Device

REQUEST = "5f0c6f8e-0000-4000-8000-000000000001"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return device_folder(tmp_path / "boxe", JoinToken(KEYS, ("mqtt://127.0.0.1:1",), bytes(32)))


def answers(device: Device, body: bytes) -> None:
    device.append(Draft(ANSWER, None, None, body))


def test_answer_counts_only_from_the_device_that_was_asked_and_malformed_ones_do_nothing(folder: Folder) -> None:
    """B7.5"""
    nova, liar = Device("NOVA"), Device("LIAR")
    said = json.dumps({"request": REQUEST, "ok": True, "result": 7}).encode()
    for body in (said, b'{"request":7}', REQUEST.encode(), b'{"request":"' + REQUEST.encode() + b'","ok":"yes"}'):
        answers(liar, body)
    answers(nova, b'{"request":"another","ok":true}')
    wish = Wish(REQUEST, nova.own.device.hex(), "config_get")
    with Replica.in_folder(folder) as replica:
        for device in (liar, nova):
            replica.log.ingest([device.run()], WALL)
        assert _answer(replica, wish, 0, 0.0) is None
        answers(nova, said)
        replica.log.ingest([nova.run()], WALL)
        found = _answer(replica, wish, 0, 0.0)
        assert found is not None
        assert (found.ok, found.result) == (True, 7)
