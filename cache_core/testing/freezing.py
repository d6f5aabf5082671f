"""Frozen time for a live cache: tests of TTLs need neither sleeping nor a cache made for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cache_core.clock import Clock, SystemClock
from cache_core.observe.logs import LogHook
from cache_core.testing.clock import FakeClock
from cache_core.testing.seams import guard_of
from cache_core.testing.store import FakeStore

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.protocol.runtime import Runtime


class ShiftedClock:
    """A clock that is ahead of another one.

    Args:
        base: The other one.
        monotonic: Seconds that the monotonic time is ahead.
        wall: Seconds that the wall time is ahead.
    """

    def __init__(self, base: Clock, *, monotonic: float, wall: float) -> None:
        self.base = base
        self._ahead = monotonic, wall

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return self.base.monotonic() + self._ahead[0]

    def wall(self) -> float:
        """Seconds since 1970, and a little more."""
        return self.base.wall() + self._ahead[1]


@contextmanager
def frozen(*caches: Cache) -> Iterator[FakeClock]:
    """Stops the clock of live caches; only the test moves it while the block runs.

    What the caches hold already has the age that it has. Time never goes back: after the block the
    clock runs on from where the test moved it to, or from the present where that is later. A
    ``FakeStore`` behind a cache is frozen with it. A server is not, so what is in Redis does not
    expire there; it is refused here when its time is over.

    Args:
        caches: The caches; at least one. One with a ``FakeClock`` keeps it.

    Yields:
        The clock, to ``advance``.

    Raises:
        ValueError: No cache was given, or their clocks have nothing to do with each other.
    """
    _check_clocks(caches)
    before = [cache.clock for cache in caches]
    if isinstance(before[0], FakeClock):
        yield before[0]
        return
    # The latest of them: none goes back.
    fake = FakeClock(max(c.monotonic() for c in before), wall=max(c.wall() for c in before))
    runtimes = [cache.runtime for cache in caches]
    for cache, runtime in zip(caches, runtimes):
        _set_clock(cache, runtime, fake)
    try:
        yield fake
    finally:
        for cache, runtime, clock in zip(caches, runtimes, before):
            _set_clock(cache, runtime, _resumed(clock, fake))


def _check_clocks(caches: tuple[Cache, ...]) -> None:
    if not caches:
        raise ValueError("frozen() needs at least one cache: frozen(cache)")
    bases = [_base(cache.clock) for cache in caches]
    if len({None if isinstance(base, SystemClock) else id(base) for base in bases}) > 1:
        raise ValueError(
            "frozen() was given caches whose clocks have nothing to do with each other; make the "
            "caches with one clock, or freeze one inside of the other's block"
        )


def _base(clock: Clock) -> Clock:
    return clock.base if isinstance(clock, ShiftedClock) else clock


def _resumed(before: Clock, fake: FakeClock) -> Clock:
    """What tells the time after *fake*: the clock of before, unless that would go back."""
    if fake.monotonic() <= before.monotonic() and fake.wall() <= before.wall():
        return before
    base = _base(before)
    return ShiftedClock(
        base,
        monotonic=max(fake.monotonic(), before.monotonic()) - base.monotonic(),
        wall=max(fake.wall(), before.wall()) - base.wall(),
    )


def _set_clock(cache: Cache, runtime: Runtime, clock: Clock) -> None:
    """Puts *clock* wherever the cache looks at one."""
    functions = tuple(cache._functions.values())  # noqa: SLF001 - of one package
    for each in {cache.runtime, runtime}:
        _set_runtime_clock(each, clock)
    for owner in {cache, *(own.cache for own in functions)}:
        owner.clock = clock
    for own in functions:
        # The hot path has the clock among the names that it was compiled with.
        own._wrapper.__globals__[f"{own.binding.prefix}now"] = clock.monotonic  # noqa: SLF001


def _set_runtime_clock(runtime: Runtime, clock: Clock) -> None:
    runtime.clock = clock
    feed: Any = runtime._feeding  # noqa: SLF001 - of one package, as below
    hooks = [hook for hooks in runtime.hooks._by_kind.values() for hook in hooks]  # noqa: SLF001
    holders: list[Any] = [runtime.table, runtime.local, feed, getattr(feed, "_link", None)]
    holders.append(runtime.following)
    holders += [hook for hook in hooks if isinstance(hook, LogHook)]
    for holder in holders:
        if hasattr(holder, "_clock"):
            holder._clock = clock  # noqa: SLF001
    guard = guard_of(runtime)
    if guard is not None:
        guard._now = clock.monotonic  # noqa: SLF001
        if isinstance(guard.layer, FakeStore):
            guard.layer.clock = clock
