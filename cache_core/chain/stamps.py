"""Stamps for stores that users bring: what makes a value in there as exact as in a layer of ours.

The value is kept with the versions that it was computed under, as they were read before its source
was asked, and with the time of its load. It is served while each version is the current one and its
TTL is not over. How late it was set does not matter: what is out of date is dead on arrival.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.chain.words import NOT_FOUND
from cache_core.protocol.fetching import fetch
from cache_core.protocol.lifetime import negative_limit
from cache_core.protocol.scope import LoadingScope
from cache_core.wire.entry import digest_of

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.protocol.flights import Flight
    from cache_core.protocol.found import Extras
    from cache_core.protocol.operations import Steps


class Stamped(NamedTuple):
    """What a store of the user's keeps for a link that can be invalidated.

    Args:
        value: The value.
        stamp: A text that belongs to it, to be kept beside it and given back.
    """

    value: Any
    stamp: str


class Stamps:
    """The stamp of one load.

    It names the entry too: the user's store may have one place for what are two entries of the cache,
    as where the tenant is not in the link's key.

    Args:
        own: The cached function whose loader runs.
        loading: The load.
        flight: The flight that it leads.
        asked: The key that the link was asked for.
    """

    def __init__(
        self, own: CachedFunction, loading: LoadingScope, flight: Flight, asked: Any
    ) -> None:
        key: Any = flight.key
        self._own, self._asked = own, asked
        self._found = loading.found
        self._scope = loading.real
        self.runtime = runtime = loading.runtime
        self._plan = runtime.plan(own)
        self._ttl = max(self._plan.local.ttl, self._plan.remote.ttl)
        # Versions that only this process knows say nothing to the next one.
        self._process = runtime.owner if runtime.remote is None else ""
        self._digest = digest_of((own.binding.key(key[0][1:]).storage,), key[1]).hex()

    @property
    def are_safe(self) -> bool:
        """Whether a value may be kept under them, as far as is known yet."""
        return self._found.spoiled is None and not self._plan.effective.source_lag

    def put(self, value: Any) -> Stamped | None:
        """*value* with its stamp; None when it must not be kept."""
        found = self._found
        extras = found.of_failure()
        if extras is None or found.skipped or found.ttl is not None or not self.are_safe:
            return None
        if self.runtime.uncommitted() or self._scope.is_writing:
            return None
        now_ms = int(self.runtime.clock.wall() * 1000)
        return Stamped(value, json.dumps([self._process, self._digest, now_ms, extras]))

    def take(self, kept: Any) -> Steps[Any]:
        """The value of what the store gave, ``NOT_FOUND`` when it is not valid now.

        Raises:
            ValueError: It is not what ``put`` made, or something like it.
            RemoteError: The store of the versions failed.
        """
        if kept is NOT_FOUND or self._found.old is not None or not self.are_safe:
            return NOT_FOUND  # whoever has an old value wants a new one
        value, stamp = kept
        process, digest, created_ms, extras = json.loads(stamp)
        if (process, digest) != (self._process, self._digest):
            return NOT_FOUND
        left = self._ttl_of(value) - max(0.0, self.runtime.clock.wall() - created_ms / 1000)
        if left <= 0 or not (yield from self._hold(extras)):
            return NOT_FOUND
        accept = self._own.accept
        if accept is not None and not accept(value):
            return NOT_FOUND
        self._found.add([thing for thing, _ in extras], [version for _, version in extras])
        self._found.ttl = left
        return value

    def _ttl_of(self, value: Any) -> float:
        """Seconds that *value* lives from its load on, by the policy and the declaration."""
        wish = None
        if self._own.result_ttl is not None:
            wish = self._own.result_ttl(value, (self._asked,), {})
        limits = (self._ttl, negative_limit(self._plan, value), wish)
        return min([limit for limit in limits if limit is not None])

    def _hold(self, extras: Extras) -> Steps[bool]:
        """Whether what the value was found to depend on has the same versions still."""
        runtime, versions = self.runtime, self._scope.versions.exact
        now = runtime.clock.monotonic()
        unknown = versions.missing([thing for thing, _ in extras], now)
        if unknown and runtime.remote is not None:
            yield from fetch(runtime, versions, unknown, now=now)
        return all(versions.of(thing) == version for thing, version in extras)


def stamps_of(own: CachedFunction, asked: Any) -> Stamps | None:
    """The stamps of *own*'s load that is running; None where it is not going to be kept.

    Args:
        own: The cached function of a link.
        asked: The key that the link was asked for.
    """
    scope = own.cache.current_scope()
    if not isinstance(scope, LoadingScope) or scope.flight is None:
        return None  # only what leads a flight is kept, and knows what it depends on
    key: Any = scope.flight.key
    if key[0][0] != own.use_case.name:
        return None  # the load of another function, which calls this one past the cache
    return None if own.late is not None else Stamps(own, scope, scope.flight, asked)
