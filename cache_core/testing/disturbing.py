"""Chaos: a live cache whose store, feed and loaders misbehave for the time of a block.

    with chaos(cache, store=flaky(0.2), loader=fail(0.1)):
        exercise_the_application()

What the application must not notice is what the cache promises: a store that fails costs loads, and
no answer is stale.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial, wraps
from inspect import iscoroutinefunction
from math import inf
from typing import TYPE_CHECKING, Any

from cache_core.errors import NotConfigured
from cache_core.testing.faults import Dice, Fate, Fault, InjectedFault, Late, Lose
from cache_core.testing.seams import (
    apause,
    calm_feed,
    calm_remote,
    disturb_feed,
    disturb_remote,
    pause,
    unwrap_loader,
    wrap_loader,
)

if TYPE_CHECKING:
    from types import TracebackType

    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction
    from cache_core.clock import Clock
    from cache_core.protocol.runtime import Runtime


class chaos(AbstractContextManager["chaos"]):  # noqa: N801 - a block is written in small letters
    """Has caches meet faults while the block runs, for every thread and task of the process.

    Blocks nest and overlap; each takes its own faults away again. A clock that can be moved is moved
    in place of sleeping. Use cases that are declared inside of the block have loaders without
    faults; a cache that is configured anew in it has none at all.

    Args:
        caches: The caches; at least one.
        store: What happens to operations of the remote layer.
        feed: What happens to messages of the push feed: with ``fail`` the connection breaks, with
            ``drop`` it goes silent, both until there is a new one.
        loader: What happens to loads. A cached function that is called while caching is off is not
            loaded by the cache, and meets no faults.
        clock: What is moved in place of sleeping; by default the cache's own clock where it is a
            ``FakeClock``.
        seed: Repeats a run; with one thread exactly. None takes a new one, which is told when an
            error leaves the block.

    Attributes:
        seed: The seed.
        faults: How many operations met a fault: ``"store"``, ``"feed"`` or ``"loader"`` -> number.
            With ``lose`` that is each of them, whether keys vanished or not.

    Raises:
        NotConfigured: There is no store or no feed to disturb. From entering the block.
        ValueError: The fault makes no sense there.
    """

    def __init__(
        self,
        *caches: Cache,
        store: Fault | None = None,
        feed: Fault | None = None,
        loader: Fault | None = None,
        clock: Clock | None = None,
        seed: int | None = None,
    ) -> None:
        self._wanted = {"store": store, "feed": feed, "loader": loader}
        _check(caches, **self._wanted)
        self.faults: Counter[str] = Counter()
        self._caches = caches
        self._clock = clock
        self._dice = Dice(seed)
        self.seed = self._dice.seed
        self._counting = threading.Lock()
        self._exits: ExitStack | None = None

    def __repr__(self) -> str:
        wanted = "".join(f"{name}={fault!r}, " for name, fault in self._wanted.items() if fault)
        return f"chaos({wanted}seed={self.seed})"

    def __enter__(self) -> chaos:  # noqa: PYI034 - typing.Self came with Python 3.11
        """Begins to disturb."""
        if self._exits is not None:
            raise RuntimeError("This chaos() runs already; make one for each block.")
        with ExitStack() as exits:
            for cache in self._caches:
                for put_in, take_out in self._places(cache):
                    put_in()
                    exits.callback(take_out)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves everything as it was; tells the seed where *error* needs explaining."""
        exits, self._exits = self._exits, None
        if exits is not None:
            exits.close()
        if error is not None:
            _tell(error, f"It happened in {self!r}; give that seed to repeat it.")

    def _places(self, cache: Cache) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
        runtime, functions = cache.runtime, tuple(cache._functions.values())  # noqa: SLF001
        if store := self._wanted["store"]:
            _need_store(runtime)
            source = _Source(self, "store", store)
            yield partial(disturb_remote, runtime, source), partial(calm_remote, runtime, source)
        if feed := self._wanted["feed"]:
            _need_feed(runtime, functions)
            source = _Source(self, "feed", feed)
            yield partial(disturb_feed, runtime, source), partial(calm_feed, runtime, source)
        if loader := self._wanted["loader"]:
            source = _Source(self, "loader", loader)
            for own in functions:
                around = source.around
                yield partial(wrap_loader, own, around), partial(unwrap_loader, own, around)

    def met(self, place: str, fault: Fault) -> Fate:
        """What *fault* does to the next operation of *place*."""
        fate = fault.fate(self._dice)
        if not fate.is_plain:
            with self._counting:
                self.faults[place] += 1
        return fate


class _Source:
    """What a block does to one place of a cache."""

    def __init__(self, block: chaos, place: str, fault: Fault) -> None:
        self._block = block
        self._place = place
        self._fault = fault

    def fate(self) -> Fate:
        """What happens to the next operation."""
        return self._block.met(self._place, self._fault)

    def clock(self, own: Clock) -> Clock:
        """The clock that waiting is done by."""
        return self._block._clock or own  # noqa: SLF001 - of one subject

    def around(self, own: CachedFunction, loader: Callable[..., Any]) -> Callable[..., Any]:
        """A loader that meets the faults."""
        if iscoroutinefunction(loader):

            @wraps(loader)
            async def aload(*args: Any, **kwargs: Any) -> Any:
                fate = self.fate()
                await apause(self.clock(own.cache.clock), fate.seconds)
                if fate.fails:
                    raise fate.raised(InjectedFault)
                value = await loader(*args, **kwargs)
                if fate.drops:
                    raise fate.raised(InjectedFault)
                return value

            return aload

        @wraps(loader)
        def load(*args: Any, **kwargs: Any) -> Any:
            fate = self.fate()
            pause(self.clock(own.cache.clock), fate.seconds)
            if fate.fails:
                raise fate.raised(InjectedFault)
            value = loader(*args, **kwargs)
            if fate.drops:
                raise fate.raised(InjectedFault)
            return value

        return load


def _check(
    caches: tuple[Cache, ...], store: Fault | None, feed: Fault | None, loader: Fault | None
) -> None:
    if not caches:
        raise ValueError("chaos() needs at least one cache: chaos(cache, store=always_fail)")
    if not (store or feed or loader):
        raise ValueError("chaos() needs a fault: chaos(cache, store=always_fail)")
    for place, fault in (("feed", feed), ("loader", loader)):
        if any(isinstance(part, Lose) for part in _parts(fault)):
            raise ValueError(f"{place}={fault!r}: only a store has keys that vanish; give store=")
    if any(isinstance(part, Late) and part.seconds == inf for part in _parts(loader)):
        raise ValueError(
            f"loader={loader!r}: nobody gives up on a loader, so it would never end; "
            "say for how many seconds it hangs"
        )


def _parts(fault: Fault | None) -> Iterator[Fault]:
    return fault.parts() if fault else iter(())


def _need_store(runtime: Runtime) -> None:
    if runtime.remote is None:
        raise NotConfigured(
            "chaos(store=...) needs a cache with a remote layer, and this one has none; give it "
            "one, as in Cache(remote=FakeStore(clock)), or disturb loaders only with loader=..."
        )


def _need_feed(runtime: Runtime, functions: tuple[CachedFunction, ...]) -> None:
    for own in functions:
        runtime.plan(own)  # the first plan that wants a feed opens it
    if runtime.feed is None:
        raise NotConfigured(
            "chaos(feed=...) needs a cache that listens to a push feed, and this one does not; "
            "have a use case ask for it with consistency='feed', over a store that has one (Redis)"
        )


def _tell(error: BaseException, text: str) -> None:
    add_note = getattr(error, "add_note", None)  # since Python 3.11
    if add_note is not None:
        add_note(text)
    else:
        sys.stderr.write(f"{text}\n")
