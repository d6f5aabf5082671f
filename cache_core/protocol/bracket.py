"""The bracket around a write to the database (protocol rules I, W1, T1, T2).

Between its beginning and its end the writer's own scope goes past the cache, for it may see what
nobody else may see. In mode "strict" the things are marked in the store before COMMIT: while a mark
stands, nobody is served anything of them, so nothing older than the last COMMIT is ever served, even
when the writer dies between COMMIT and its invalidation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cache_core.errors import MarkFailed
from cache_core.protocol.operations import Now, Sleep, Steps
from cache_core.protocol.write import Delivery, invalidate, mark

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime
    from cache_core.protocol.scope import Scope

NEVER = float("-inf")
MARGIN = 0.2
"""The part of a mark's life in which it is too old to commit under: COMMIT takes time, too."""


class Bracket:
    """One write that is under way.

    Args:
        runtime: The configured cache.
        scope: The scope that the writer runs in, if any.
        secured: Whether the write is told of by an outbox row of the same transaction, so that a
            mark that fails need not stop it (rule I6).

    Attributes:
        things: What it touches.
    """

    __slots__ = (
        "_is_announced",
        "_is_open",
        "_marked",
        "_token",
        "runtime",
        "scope",
        "secured",
        "things",
    )

    def __init__(self, runtime: Runtime, scope: Scope | None, *, secured: bool = False) -> None:
        self.runtime = runtime
        self.scope = scope
        self.secured = secured
        self.things: dict[str, None] = {}
        self._token = runtime.token()
        self._marked: dict[str, float] = {}  # thing -> when its mark is too old to commit under
        self._is_announced = False
        self._is_open = True
        if scope is not None:
            scope.begin_write()

    def touch(self, things: Iterable[str]) -> None:
        """Notes that the write changes *things*."""
        self.things.update(dict.fromkeys(things))

    def mark(self) -> Steps[None]:
        """Marks what was touched; to be called right before COMMIT (rules I1, I2).

        Marks that stand and are young enough are left alone, so it may be called at every write.

        Raises:
            MarkFailed: The store did not acknowledge, and nothing else secures the write.
        """
        runtime = self.runtime
        if not runtime.writers_mark:
            return
        life = runtime.mark_life
        now: float = yield Now()
        things = tuple([thing for thing in self.things if self._marked.get(thing, NEVER) <= now])
        if not things:
            return
        self._is_announced = True
        try:
            if runtime.remote is None:
                runtime.table.bump(things, now + life, mark=self._token)
            else:
                yield from mark(runtime, things, self._token, int(life * 1000))
        except Exception as error:  # noqa: BLE001 - a setting says what follows
            self._failed(error)
            return
        self._marked.update(dict.fromkeys(things, now + life * (1 - MARGIN)))
        if runtime.writers_wait:
            yield Sleep(runtime.lease_wait)  # until every feed knows of the mark (I8)
        if (yield Now()) >= now + life * (1 - MARGIN):
            # This process was stopped meanwhile: the mark may have ended, and readers came in.
            self._failed(TimeoutError("it took about as long as a mark lives"))

    def committed(self, quarantine_ms: int = 0) -> Steps[Delivery]:
        """The write is committed: gives fresh versions, which replace the marks (W1, I3)."""
        now: float = yield Now()
        self._close()
        things = tuple(self.things)
        if not things:
            return Delivery.OK
        return (
            yield from invalidate(
                self.runtime,
                self.scope,
                things,
                now,
                quarantine_ms=quarantine_ms,
                # Also of marks that were not acknowledged: they may have arrived.
                unmark=self._token if self._is_announced else "",
            )
        )

    def rolled_back(self) -> Steps[Delivery]:
        """The write never happened. Marks are removed; else there is nothing to tell (I3)."""
        if not self._marked:
            self._close()
            return Delivery.OK
        self.things = dict.fromkeys(self._marked)
        return (yield from self.committed())

    def _close(self) -> None:
        if self._is_open and self.scope is not None:
            self.scope.end_write()
        self._is_open = False

    def _failed(self, error: Exception) -> None:
        """Follows the setting for marks that the store did not take (I6)."""
        wish = self.runtime.settings.on_mark_failure
        if wish == "proceed" or (wish == "outbox" and self.secured):
            self.runtime.note_mark_failure(error)
            return
        raise MarkFailed(
            f"The write of {len(self.things)} things was not marked before COMMIT ({error}), so it "
            "could be missed by readers; roll back, or set on_mark_failure to 'proceed'."
        ) from error
