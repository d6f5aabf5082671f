"""Processes of a fleet in one process: each a cache of its own over one store and one Redis."""

from __future__ import annotations

from cache_core import Cache
from cache_core.control.memory import MemoryOverrides
from cache_core.errors import OverridesUnavailable
from cache_core.testing import FakeClock, FakeStore


class Shared(MemoryOverrides):
    """Overrides that several processes share, and that can be away."""

    shared = True

    def __init__(self):
        super().__init__()
        self.down = False
        self.loads = self.looks = 0

    def revision(self):
        self.looks += 1
        self._check()
        return super().revision()

    def load(self):
        self.loads += 1
        self._check()
        return super().load()

    def write(self, edits):
        self._check()
        super().write(edits)

    def _check(self):
        if self.down:
            raise OverridesUnavailable("it is away")


class Process:
    """A cache with one use case, whose loads beside callers are done at once."""

    def __init__(self, clock, store, remote=None, **settings):
        self.cache = Cache(clock=clock, remote=remote, overrides=store, **settings)
        self.following = self.cache.runtime.following
        self.following._begin = lambda work: work()
        self.loads = 0

        @self.cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl=600)
        def get_user(user_id):
            self.loads += 1
            return user_id

        self.get_user = get_user

    def request(self):
        """One request; returns the ramp of the local layer that holds after it."""
        with self.cache.enable():
            self.get_user(7)
        return self.cache.policy("GetUser").local.ramp


class Fleet:
    """Two processes, the clock, the overrides and the store that they share."""

    def __init__(self, *, remote=True, **settings):
        self.clock = FakeClock(1000.0, wall=1_700_000_000.0)
        self.overrides = Shared()
        self.remote = FakeStore(self.clock) if remote else None
        self.one, self.other = [
            Process(self.clock, self.overrides, self.remote, **settings) for _ in range(2)
        ]
