"""Checking drafts before an append: each distinct kind and agent once, because bulk appends repeat them."""

from __future__ import annotations

from collections.abc import Sequence

from hcom_replica.wire.event import BODY_BYTES_MAX, TIME_US_MAX, Draft, check_draft


def check_drafts(drafts: Sequence[Draft]) -> None:
    """Check events before they are appended here.

    Raises:
        LimitError: one is over a limit; nothing was appended.
    """
    kinds: set[str] = set()
    agents: set[str | None] = {None}
    for draft in drafts:
        kind, agent, time = draft.kind, draft.agent, draft.time
        in_range = time is None or -TIME_US_MAX <= time <= TIME_US_MAX
        if kind not in kinds or agent not in agents or not in_range or len(draft.body) > BODY_BYTES_MAX:
            check_draft(draft)
            kinds.add(kind)
            agents.add(agent)
