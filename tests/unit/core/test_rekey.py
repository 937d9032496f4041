"""What a device does about an epoch that is due (protocol-v1 P12.10)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from hcom_replica.core import newepoch
from hcom_replica.core.book import Book
from hcom_replica.core.effects import AppendSystem
from hcom_replica.core.hello import ADOPT, EPOCH
from hcom_replica.core.membership import Viewer, judge
from hcom_replica.core.rekey import Rekey
from tests.unit.core.builders import KEYS, Device, Parts, at


def test_epoch_that_is_due_for_too_many_devices_waits_until_there_are_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """P12.5, P12.10: meanwhile the device goes on as before"""
    boxe, gone = Device("BOXE"), Device("GONE").key.public
    boxe.append()
    parts, own = Parts(boxe), boxe.key.public
    said = Book(epochs={own: {KEYS.check}})
    alone = judge(Viewer(boxe.key, KEYS, own), said, [own], ())
    parts.knowledge.membership = replace(alone, revoked={gone: own})
    rekey = Rekey(parts.outbox, parts.settings, parts.knowledge)

    def step(ms: int) -> list[str]:
        """Kinds of the events that it appends."""
        rekey.tick(at(ms), is_open=True)
        return [draft.kind for effect in parts.effects() if isinstance(effect, AppendSystem) for draft in effect.drafts]

    wait_ms = parts.settings.seniority_ms
    with monkeypatch.context() as few:
        few.setattr(newepoch, "EPOCH_BOXES_MAX", 0)
        assert (step(0), step(wait_ms)) == ([], [])
        assert not rekey.silent
    assert (step(wait_ms + 1), step(2 * wait_ms + 1)) == ([], [EPOCH, ADOPT])
