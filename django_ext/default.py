"""The project's cache: a ``Cache`` that finds its settings in Django's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

from cache_core.cache import Cache
from cache_core.protocol.scope import Scope
from django_ext.conf import WATCHED, read_outbox, read_settings
from django_ext.outbox import Outbox
from django_ext.transactions import Transactions

if TYPE_CHECKING:
    from cache_core.protocol.background import Task, Work
    from cache_core.protocol.runtime import Runtime
    from cache_core.settings import Settings

_UNREAD: Any = object()
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class DjangoCache(Cache):
    """A cache that is configured by ``settings.CACHE_CORE`` when it is first used.

    ``configure(...)`` replaces those settings, as for any ``Cache``.

    Attributes:
        transactions: What was written to the databases and must be invalidated after COMMIT.
    """

    def __init__(self) -> None:
        super().__init__()
        self._unread = self._settings
        self._outbox: Any = _UNREAD
        self.transactions = Transactions(self)
        self.watch_transactions(self.transactions.uncommitted, self.transactions.snapshot_since)
        self.around_background(_with_own_connections, _with_own_thread)

    @property
    def outbox(self) -> Outbox | None:
        """The outbox of the databases that ``OUTBOX`` names; None without that setting."""
        if self._outbox is _UNREAD:
            aliases = read_outbox()
            self._outbox = Outbox(self, aliases) if aliases else None
        outbox: Outbox | None = self._outbox
        return outbox

    def afterwards(self, work: Callable[[], object]) -> None:
        """Does *work* when the running request is answered; at once where there is none."""
        scope = self._current.scope.get()
        if not (isinstance(scope, Scope) and scope.put_off(work)):
            work()

    def _build(self, settings: Settings) -> Runtime:
        return super()._build(read_settings() if settings is self._unread else settings)

    def reload(self) -> None:
        """Forgets the settings and what this process has cached; Django's are read at next use."""
        self._outbox = _UNREAD
        self.configure_from(self._unread)

    def setting_changed(self, *, setting: str, **_: object) -> None:
        """Receiver of Django's signal of that name, which tests send when they change settings."""
        if setting in WATCHED:
            self.reload()

    @contextmanager
    def after(self, scope: Scope, *, enabled: bool) -> Iterator[None]:
        """Runs the block as part of a request whose scope is closed, so each call sees the present.

        Args:
            scope: The scope of that request.
            enabled: Whether caching is on in the block.
        """
        current = self._current
        active = current.active.set(scope if enabled else None)
        outer = current.scope.set(scope)
        try:
            yield
        finally:
            current.scope.reset(outer)
            current.active.reset(active)

    def stats(self) -> dict[str, Any]:
        """As ``Cache.stats``, with ``failed_invalidations``: those that an error prevented."""
        return {**super().stats(), "failed_invalidations": self.transactions.failures}


def _with_own_connections(work: Work) -> object:
    """A thread has database connections of its own, which nobody else would close."""
    try:
        return work()
    finally:
        connections.close_all()


async def _with_own_thread(task: Task) -> None:
    """As above, for the thread in which Django runs the sync code of a task.

    It would be that of the request, which may be over before the task is.
    """
    context = ThreadSensitiveContext()
    # Inside of the request's context it would not be entered.
    SyncToAsync.thread_sensitive_context.set(context)
    try:
        await task
    finally:
        executor = SyncToAsync.context_to_thread_executor.pop(context, None)
        if executor is not None:
            executor.submit(connections.close_all)
            executor.shutdown(wait=False)


cache = DjangoCache()
"""The cache of the project."""
