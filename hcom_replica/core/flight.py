"""What is under way: wants and readings of slots, and each origin's part in them (P7.7, P7.8)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hcom_replica.core.sources import Source


@dataclass(slots=True)
class Flight:
    """A want, or a reading of slots: one source that is being tried, for one origin or several.

    Attributes:
        want: id of the want; 0 when slots are read.
        holder: key of the device that was asked; None when slots are read, or when it is not known.
        started_ms: when it was asked.
        progress_ms: when it last brought something for any of them.
        answered: it has brought something.
        own: this device has asked; False when it waits for what another has asked for.
    """

    want: int
    holder: bytes | None
    started_ms: int
    progress_ms: int
    answered: bool = False
    own: bool = True


@dataclass(slots=True)
class Pull:
    """One origin's part in a flight.

    Attributes:
        first: lowest seq that was asked for.
        have: how far the prefix went when it last counted as progress.
        slots: topics of slots that have not come yet.
        news: something came that is not held.
        sure: the source says that it has it; False is a guess.
        claimed: how far a device that is asked says to hold the origin.
        leads: when the answer is there this device asks for what follows; False leaves that to another that asked.
    """

    flight: Flight
    sources: list[Source]
    first: int
    have: int
    started_ms: int
    progress_ms: int
    timeout_ms: int
    slots: set[str] = field(default_factory=set)
    news: bool = False
    sure: bool = True
    claimed: int = 0
    leads: bool = True

    def gives_up_ms(self) -> int:
        """When it has brought nothing for too long."""
        return max(self.progress_ms, self.flight.progress_ms) + self.timeout_ms
