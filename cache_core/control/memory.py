"""Overrides in the memory of one process: for tests, and where nothing is shared."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from cache_core.control.records import Change, Edit, Override, Snapshot, fresh_revision
from cache_core.control.store import MOST_CHANGES
from cache_core.errors import OverrideConflict


class MemoryOverrides:
    """An ``OverrideStore`` of this process alone; it ends with it.

    Attributes:
        shared: False.
    """

    shared = False

    def __init__(self) -> None:
        self._overrides: dict[str, Override] = {}
        self._history: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._revision = ""
        self.after_fork()

    def after_fork(self) -> None:
        """A child process starts with a free lock."""
        self._lock = threading.RLock()

    def revision(self) -> str:
        """As ``OverrideStore``."""
        return self._revision

    def load(self) -> Snapshot:
        """As ``OverrideStore``."""
        with self._lock:
            return Snapshot(revision=self._revision, overrides=dict(self._overrides))

    def write(self, edits: Sequence[Edit]) -> None:
        """As ``OverrideStore``."""
        with self._lock:
            check(self.load(), edits)
            for edit in edits:
                if edit.override is None:
                    self._overrides.pop(edit.use_case, None)
                else:
                    self._overrides[edit.use_case] = edit.override
                self._history.extendleft(edit.changes)
            self._revision = fresh_revision()

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """As ``OverrideStore``."""
        with self._lock:
            return page(self._history, use_case, limit, skip)

    def when_committed(self, done: Callable[[], object]) -> None:
        """As ``OverrideStore``."""
        done()

    def describe(self) -> str:
        """As ``OverrideStore``."""
        return "the memory of this process"

    def close(self) -> None:
        """Nothing is open."""


def check(snapshot: Snapshot, edits: Sequence[Edit]) -> None:
    """Looks whether every override is still what was expected of it.

    Raises:
        OverrideConflict: One is not.
    """
    for edit in edits:
        if snapshot.revision_of(edit.use_case) != edit.expected:
            raise OverrideConflict(edit.use_case, snapshot.overrides.get(edit.use_case))


def page(
    changes: Sequence[Change] | deque[Change], use_case: str | None, limit: int, skip: int
) -> list[Change]:
    """A part of *changes*; as ``OverrideStore.history``."""
    wanted = (each for each in changes if use_case in (None, each.use_case))
    return list(islice(wanted, skip, skip + limit))
