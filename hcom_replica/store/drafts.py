"""Checking drafts before an append: each distinct kind and agent once, because bulk appends repeat them."""

from __future__ import annotations

from collections.abc import Sequence

from hcom_replica.wire.event import BODY_BYTES_MAX, Draft, check_draft


def check_drafts(drafts: Sequence[Draft]) -> None:
    """Check events before they are appended here.

    Raises:
        LimitError: one is over a limit; nothing was appended.
    """
    sound: set[tuple[str, str | None]] = set()
    for draft in drafts:
        names = (draft.kind, draft.agent)
        if names not in sound or draft.time is not None or len(draft.body) > BODY_BYTES_MAX:
            check_draft(draft)
            sound.add(names)
