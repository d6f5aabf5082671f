"""What pages and commands show: every use case, joined with what was set for it by hand."""

from __future__ import annotations

from dataclasses import dataclass

from cache_core.control.following import FollowingReport
from cache_core.control.records import Override
from cache_core.policy.policy import Effective


@dataclass(frozen=True, slots=True)
class Controlled:
    """One use case and what was set for it by hand.

    Args:
        use_case: Its name.
        key_type: The kind of entity that it is about; None where there is none.
        override: What was set; None for nothing. It may have expired.
        effective: What holds, with the source of each value; None for an orphan.
        otherwise: What would hold without overrides; None for an orphan.
        is_orphan: Whether there is an override, and no use case of that name in this process.
        has_expired: Whether the override wishes nothing any more.
        malformed: What is wrong with the record, which is passed over; empty where nothing is.
    """

    use_case: str
    key_type: str | None
    override: Override | None
    effective: Effective | None
    otherwise: Effective | None
    is_orphan: bool = False
    has_expired: bool = False
    malformed: str = ""

    @property
    def revision(self) -> str:
        """What to expect of the override when it is changed (see ``Control.change``)."""
        return self.override.revision if self.override is not None else ""


@dataclass(frozen=True, slots=True)
class Listing:
    """Every use case with what was set for it by hand.

    Args:
        rows: Those that are declared, in that order; then the orphans, by name.
        everything: What was set for all use cases; None for nothing.
        state: How current this process is, and where overrides are kept.
        everything_is_off: Whether the kill switch of all use cases is thrown.
        problem: Why the store could not be read just now, so that *rows* show what this process
            knew last; empty where it could.
    """

    rows: tuple[Controlled, ...]
    everything: Override | None
    state: FollowingReport
    everything_is_off: bool = False
    problem: str = ""
