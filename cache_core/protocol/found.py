"""What a load turns out to depend on while it runs (protocol rules D1 to D4).

A cached call inside of a loader hands its own stamp to the entry around it: what the inner value
was computed under holds for the outer one too. A dependency that the loader itself names is only
known after data was read. Its version is fetched when the load is over, and counts when it was
given before the load began.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from typing import TYPE_CHECKING

from cache_core.events import Reason

if TYPE_CHECKING:
    from cache_core.protocol.grace import Old

MOST = 64
"""Most dependencies that are kept beside the declared ones; with more the value is not kept (R1)."""

Extras = tuple[tuple[str, str], ...]
"""Pairs of thing and version, in canonical order."""


class Found:
    """What was found during one load: what its value depends on, and what its loader said of it.

    Attributes:
        old: An old value that the caller has, None for none.
        skipped: Whether the loader said that the value is not to be kept.
        spoiled: Why the value must not be kept, None while it may be.
        ttl: Seconds that the loader wishes the value to live at most; None for no wish.
    """

    __slots__ = ("_named", "_versions", "old", "skipped", "spoiled", "ttl")

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        self._named: dict[str, None] = {}
        self.old: Old | None = None
        self.skipped = False
        self.spoiled: Reason | None = None
        self.ttl: float | None = None

    def add(self, things: Sequence[str], versions: Sequence[str]) -> None:
        """Takes over the stamp of an inner entry (D2)."""
        for thing, version in zip(things, versions):
            if self._versions.setdefault(thing, version) != version:
                self.spoil(Reason.CHANGED_WHILE_LOADING)  # (D3)
        if len(self._versions) > 2 * MOST:
            # However many of them are declared. A task that outlives the load may go on for ever.
            self._versions.clear()
            self.spoil(Reason.TOO_MANY_DEPENDENCIES)

    def name(self, things: Iterable[str]) -> None:
        """Notes things that the loader says it depends on (D4)."""
        self._named.update(dict.fromkeys(things))

    def spoil(self, reason: Reason) -> None:
        """The load saw data from which nothing may be made that is kept."""
        if self.spoiled is not Reason.OLD_DEPENDENCY:  # which counts whatever the policy says
            self.spoiled = reason

    def named(self, declared: Container[str]) -> tuple[str, ...]:
        """What the loader named beside the things that are *declared* anyway.

        Also where an inner entry depends on it: the loader may have read the thing before that.
        """
        return tuple([thing for thing in self._named if thing not in declared])

    def versions(self) -> dict[str, str]:
        """The versions that inner entries were computed under."""
        return dict(self._versions)

    def of_failure(self) -> Extras | None:
        """What a load that raised depends on; None where that is not known."""
        is_known = self.spoiled is None and not self._named
        return tuple(self._versions.items()) if is_known else None
