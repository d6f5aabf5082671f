"""The steps at which a worker can be stopped, and the parts of the cache that know of them."""

from __future__ import annotations

from cache_core.layers.base import Create, Fetch, Lock, Store
from cache_core.layers.redis import RedisLayer
from tests.integration.process import aat, at

ASKING = ("before the version read", "after the version read")
LOADING = ("between read and load", "in the load")
FILLING = ("before the local fill", "before the store")
LOCKING = "before the lock"
STEPS = (*ASKING, *LOADING, *FILLING)
"""Of a read, in their order. Those of ``ASKING`` are nobody's, the others those of a use case."""

WRITING = ("begun", "marked", "committed", "invalidated")
"""Of a write: before its mark, before COMMIT, after COMMIT, after the invalidation."""

_BEFORE = {Fetch: ASKING[0], Create: LOCKING, Lock: LOCKING, Store: FILLING[1]}
_NONE = ""


class HeldRedis(RedisLayer):
    """The Redis layer, with steps to be stopped at."""

    def perform(self, operation):
        at(_BEFORE.get(type(operation), _NONE), _use_case_of(operation))
        result = super().perform(operation)
        at(ASKING[1] if type(operation) is Fetch else _NONE)
        return result

    async def aperform(self, operation):
        await aat(_BEFORE.get(type(operation), _NONE), _use_case_of(operation))
        result = await super().aperform(operation)
        await aat(ASKING[1] if type(operation) is Fetch else _NONE)
        return result


def _use_case_of(operation):
    return getattr(operation, "entry", "").rpartition("#")[2]


def hold_local(layer):
    """Makes the local *layer* stop before it keeps an entry."""
    put = layer.put

    def held_put(key, entry, **options):
        at(FILLING[0], key[0])
        return put(key, entry, **options)

    layer.put = held_put
