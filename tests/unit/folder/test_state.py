"""Where markers are kept, and what stands for machine and boot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hcom_replica.folder.state import STATE_VARIABLE, boot_id, machine_id, state_folder, state_kept_in


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("linux", {"HCOM_REPLICA_STATE": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/s"),
        ("linux", {"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/hcom-replica"),
        ("linux", {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/hcom-replica"),
        ("linux", {"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/hcom-replica"),
        ("linux", {"HOME": ""}, None),
        ("linux", {}, None),
        ("darwin", {"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/h/Library/Application Support/hcom-replica"),
        ("darwin", {"HCOM_REPLICA_STATE": "/s", "HOME": "/h"}, "/s"),
    ],
)
def test_state_folder_follows_the_system(
    monkeypatch: pytest.MonkeyPatch, system: str, environ: dict[str, str], expected: str | None
) -> None:
    """T7.2"""
    monkeypatch.setattr(sys, "platform", system)
    assert state_folder(environ) == (None if expected is None else Path(expected))


def test_machine_id_is_hashed_and_unknown_is_zero() -> None:
    one, two = machine_id({"HCOM_REPLICA_MACHINE_ID": "one"}), machine_id({"HCOM_REPLICA_MACHINE_ID": "two"})
    assert len(one) == 16
    assert one != two
    assert machine_id({"HCOM_REPLICA_MACHINE_ID": " "}) == bytes(16)
    assert len(machine_id({})) == 16


def test_boot_id_is_a_uuid_and_unknown_is_zero() -> None:
    text = "55af733a-0d5b-4e36-9005-415c88da47a7"
    assert boot_id({"HCOM_REPLICA_BOOT_ID": text + "\n"}).hex() == text.replace("-", "")
    assert boot_id({"HCOM_REPLICA_BOOT_ID": "none"}) == bytes(16)
    assert len(boot_id({})) == 16


def test_state_kept_in_gives_the_variable_back(tmp_path: Path) -> None:
    before = os.environ.get(STATE_VARIABLE)
    with state_kept_in(tmp_path):
        assert state_folder(os.environ) == tmp_path
    assert os.environ.get(STATE_VARIABLE) == before
