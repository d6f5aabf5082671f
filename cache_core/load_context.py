"""What a loader can learn of the load that it runs in, and say about its value."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from cache_core.ahead import name_dependencies
from cache_core.errors import LoaderFailed
from cache_core.fields import seconds_of

if TYPE_CHECKING:
    from cache_core.keys.dependencies import EntityOrType
    from cache_core.protocol.found import Found
    from cache_core.protocol.grace import Old


class LoadContext:
    """The load that the running code is part of; made by ``cache.loading()``.

    A loader that is called by itself gets one, too. It has no old value then, and what is said to it
    has no effect.

    Args:
        found: What is noted of the load.
    """

    __slots__ = ("_found",)

    def __init__(self, found: Found) -> None:
        self._found = found

    @property
    def has_stale(self) -> bool:
        """Whether there is an old value: nothing that it depends on was invalidated, and its TTL is
        over but not its grace, or it is loaded anew before it ends.
        """
        return self._old is not None

    @property
    def stale_value(self) -> Any:
        """The old value, None where there is none."""
        old = self._old
        return None if old is None else old.entry.plan.hand_out(old.entry.value)

    @property
    def age(self) -> float | None:
        """Seconds since the old value was loaded, None where there is none."""
        old = self._old
        return None if old is None else old.age

    @property
    def ttl(self) -> float | None:
        """Seconds that the value is to live; None for what the policy says, which is the most.

        May be set, also to a ``timedelta`` or text like "5m"; 0 keeps nothing.

        Raises:
            ValueError: It is set to something that is no duration.
        """
        return self._found.ttl

    @ttl.setter
    def ttl(self, seconds: Any) -> None:
        self._found.ttl = seconds_of("ttl", seconds)

    def depends_on(self, *entities: EntityOrType, tags: Iterable[str] = ()) -> None:
        """Says what the value depends on besides; as ``Cache.depends_on``."""
        name_dependencies(self._found, entities, tags)

    def tags(self, *tags: str) -> None:
        """Says which tags the value has."""
        self.depends_on(tags=tags)

    def skip(self) -> None:
        """Has the value returned and not kept."""
        self._found.skipped = True

    def fail(self, error: Exception | str = "the loader has no value") -> NoReturn:
        """Ends the load without a value: an old one is served where its grace allows that.

        Args:
            error: What callers get where there is no old value; a text becomes a ``LoaderFailed``.
        """
        raise error if isinstance(error, Exception) else LoaderFailed(error)

    def not_modified(self) -> Any:
        """The old value, to be returned by the loader because it is still right: it lives anew.

        Raises:
            LoaderFailed: There is no old value; look at ``has_stale`` before.
        """
        if self._old is None:
            raise LoaderFailed("not_modified() was called without an old value; check has_stale")
        return self.stale_value

    @property
    def _old(self) -> Old | None:
        old = self._found.old
        return None if old is None or old.invalidated else old
