"""Where overrides are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from cache_core.control.records import Change, Edit, Snapshot

MOST_CHANGES = 1_000
"""Lines of history that a store keeps at least; older ones may go."""


@runtime_checkable
class OverrideStore(Protocol):
    """A place for overrides. Its methods may be called from any thread, and wait for I/O.

    ``cache_core.testing.contract.overrides`` is what each of them must pass. One that holds locks
    may have a method ``after_fork()``, which is called in child processes.

    Attributes:
        shared: Whether other processes see what is written.
    """

    shared: bool

    def revision(self) -> str:
        """That of what ``load`` would return now, as cheap as can be.

        Empty means that nobody has ever written; a process that knows of overrides then believes
        that they were lost, and keeps to what it knows.

        Raises:
            OverridesUnavailable: The store cannot be read.
        """
        ...

    def load(self) -> Snapshot:
        """All overrides; records that cannot be read are reported in it and passed over.

        Raises:
            OverridesUnavailable: The store cannot be read.
        """
        ...

    def write(self, edits: Sequence[Edit]) -> None:
        """Writes all of *edits* or none.

        A record that cannot be read counts as one that is not there.

        Raises:
            OverrideConflict: An override is not of the expected revision any more.
            OverridesUnavailable: The store does not take them.
        """
        ...

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """What was changed, the newest first.

        Args:
            use_case: Of this one only; None for all.
            limit: The most lines.
            skip: How many of the newest to leave out.

        Raises:
            OverridesUnavailable: The store cannot be read.
        """
        ...

    def when_committed(self, done: Callable[[], object]) -> None:
        """Calls *done* once others can see what was written: now, or after a COMMIT."""
        ...

    def describe(self) -> str:
        """Where it is, for people; never with a password."""
        ...

    def close(self) -> None:
        """Closes what it has opened; it works on when used again."""
        ...
