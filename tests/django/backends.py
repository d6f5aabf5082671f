"""Backend objects for tests: over each kind of store, and through each of the two faces."""

from __future__ import annotations

import asyncio

from django_ext.backend import LayeredCache
from django_ext.backend.shared import _memories, _shared

PATIENT = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
"""For tests on busy machines, where it does not matter how long Redis may take."""


def reversed_key(key, prefix, version):
    """A ``KEY_FUNCTION`` of a project."""
    return f"{key}/{version}/{prefix}"


def made(location, **params):
    """A backend object as Django makes one, with time for whatever it asks a Redis."""
    if isinstance(location, str) and location.startswith("redis://127"):
        params["OPTIONS"] = {**PATIENT, **params.get("OPTIONS", {})}
    return LayeredCache(location, params)


def forget():
    """Closes what the tests have opened, and forgets what is in memory."""
    for each in _shared.values():
        each.store.close()
    _shared.clear()
    _memories.clear()


class Loop:
    """One event loop for a whole test, as a server has it."""

    def __init__(self):
        self._loop = asyncio.new_event_loop()

    def run(self, coroutine):
        return self._loop.run_until_complete(coroutine)

    def close(self):
        self.run(self._loop.shutdown_asyncgens())
        self.run(self._loop.shutdown_default_executor())
        self._loop.close()


class AsyncFace:
    """A backend object whose async methods are called under the names of the others.

    Args:
        cache: The backend object.
        loop: Where they run.
    """

    def __init__(self, cache, loop):
        self._cache = cache
        self._loop = loop

    def __getattr__(self, name):
        method = getattr(self._cache, f"a{name}", None)
        if method is None or name == "close":
            return getattr(self._cache, name)
        return lambda *args, **kwargs: self._loop.run(method(*args, **kwargs))

    def __contains__(self, key):
        return self.has_key(key)
