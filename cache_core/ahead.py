"""What the running code says of calls and loads before or while they are made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from cache_core.cached import call_of
from cache_core.errors import CacheCoreError, UnkeyableValue
from cache_core.events import Reason, logger
from cache_core.keys.dependencies import named_things
from cache_core.protocol.prefetch import prefetch

if TYPE_CHECKING:
    from cache_core.keys.dependencies import EntityOrType
    from cache_core.protocol.call import Call
    from cache_core.protocol.found import Found
    from cache_core.protocol.operations import Steps
    from cache_core.protocol.scope import AnyScope


def ahead(
    scope: AnyScope | None, wanted: Iterable[partial[Any] | tuple[str, object]]
) -> Steps[None] | None:
    """The steps that look up *wanted* for *scope*; None where caching is off.

    Raises:
        DeclarationError: Something is neither a call of a cached function nor an entity.
        UnkeyableValue: The id of an entity has no stable text.
    """
    if scope is None:
        return None
    calls: list[Call] = []
    things: list[str] = []
    for one in wanted:
        if isinstance(one, tuple):
            things += named_things([one], ())  # one by one: there may be as many as there are
        else:
            calls += _call(scope, one)
    now = scope.runtime.clock.monotonic()
    return prefetch(scope.at(now), calls, things, now)


def _call(scope: AnyScope, wanted: partial[Any]) -> list[Call]:
    """The call, or none where it has no key: it runs uncached, and says why when it is made."""
    try:
        own, key, args, kwargs = call_of(wanted)
    except UnkeyableValue:
        return []
    return [own.call(scope, key, args, kwargs)]


def name_dependencies(found: Found, entities: Iterable[EntityOrType], tags: Iterable[str]) -> None:
    """Notes what a loader names; a value of which that cannot be told is not kept."""
    try:
        found.name(named_things(entities, tags))
    except CacheCoreError as error:
        found.spoil(Reason.UNKNOWN_DEPENDENCY)
        logger.warning("depends_on() was given what cannot be told apart: %s", error)
