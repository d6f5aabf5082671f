"""Single flight, as seen from outside: no two runs of a loader for one key at one time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from cache_core.errors import DeclarationError, did_you_mean
from cache_core.testing.seams import unwrap_loader, wrap_loader

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction

_MOST = 5


@dataclass(eq=False)
class _Run:
    """One run of a loader that is under way.

    Args:
        use_case: Whose loader it is.
        key: The local key of the call.
        stamp: What others have to have in common with it to share it; None where nobody can.
        by: Which thread or task runs it.
        began: Monotonic seconds.
    """

    use_case: str
    key: tuple[Hashable, ...]
    stamp: Hashable
    by: str
    began: float

    def is_in_the_way_of(self, other: _Run) -> bool:
        """Whether one of the two is too much.

        Runs under different versions are not: what was changed in between must be loaded anew.
        """
        apart = None not in (self.stamp, other.stamp) and self.stamp != other.stamp
        return self.key == other.key and not apart

    def told(self, since: float) -> str:
        """The run for people."""
        past = "" if self.stamp is not None else ", past the cache (stats()['bypasses'] says why)"
        return f"{self.by} from {self.began - since:+.3f} s{past}"


class _Watch:
    """All runs of some loaders."""

    def __init__(self) -> None:
        self.overlaps: list[str] = []
        self.runs = 0
        self._since = time.monotonic()
        self._under_way: list[_Run] = []
        self._lock = threading.Lock()

    def around(self, own: CachedFunction, loader: Callable[..., Any]) -> Callable[..., Any]:
        """The loader, watched."""
        if iscoroutinefunction(loader):

            @wraps(loader)
            async def aload(*args: Any, **kwargs: Any) -> Any:
                with self._watched(own, args, kwargs):
                    return await loader(*args, **kwargs)

            return aload

        @wraps(loader)
        def load(*args: Any, **kwargs: Any) -> Any:
            with self._watched(own, args, kwargs):
                return loader(*args, **kwargs)

        return load

    @contextmanager
    def _watched(
        self, own: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[None]:
        run = _run_of(own, args, kwargs)
        with self._lock:
            self.runs += 1
            for other in self._under_way:
                if other.is_in_the_way_of(run):
                    self._note(other, run)
            self._under_way.append(run)
        try:
            yield
        finally:
            with self._lock:
                self._under_way.remove(run)

    def _note(self, first: _Run, second: _Run) -> None:
        arguments = ", ".join(map(repr, second.key[1:]))
        runs = f"{first.told(self._since)}; {second.told(self._since)}"
        self.overlaps.append(f"{second.use_case}({arguments}): {runs}")


@contextmanager
def assert_single_flight(cache: Cache, use_case: str | None = None) -> Iterator[None]:
    """No two runs of a loader for one key overlap in the block, in no two threads or tasks.

    Runs for a key of which something was invalidated in between may overlap: the later one must not
    take the value of the earlier one.

    Args:
        cache: The cache; its loads in this process are watched, calls while it is off are not.
        use_case: A declared use case; None for all.

    Raises:
        AssertionError: Runs overlapped; tells whose. Or no loader ran at all, so nothing was tested.
        DeclarationError: No such use case was declared.
    """
    watch, functions = _Watch(), _watched_functions(cache, use_case)
    calls_while_off = sum(own.calls_while_off for own in functions)
    around = watch.around
    for own in functions:
        wrap_loader(own, around)
    try:
        yield
    finally:
        for own in functions:
            unwrap_loader(own, around)
    if watch.overlaps:
        more = len(watch.overlaps) - _MOST
        shown = "".join([f"\n  - {overlap}" for overlap in watch.overlaps[:_MOST]])
        shown += f"\n  and {more} more" if more > 0 else ""
        raise AssertionError(f"Loaders ran at the same time for the same key:{shown}")
    if not watch.runs:
        off = sum(own.calls_while_off for own in functions) - calls_while_off
        raise AssertionError(
            f"No loader ran in the block, so nothing was tested; {off} calls were made while "
            "caching was off. Threads begin with caching off: enter cache.enable() in each."
        )


def _watched_functions(cache: Cache, use_case: str | None) -> tuple[CachedFunction, ...]:
    declared = cache._functions  # noqa: SLF001 - of one package
    if use_case is None:
        return tuple(declared.values())
    if use_case not in declared:
        raise DeclarationError(
            f"No use case {use_case!r} was declared. {did_you_mean(use_case, declared)}".strip()
        )
    return (declared[use_case],)


def _run_of(own: CachedFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Run:
    loading = own.cache._current.loading()  # noqa: SLF001 - of one package
    flight = loading.flight if loading else None
    try:
        key = own.pending(*args, **kwargs).key
    except Exception:  # noqa: BLE001 - an adapter may raise anything; there is no key then
        key = (own.use_case.name, object())
    stamp = flight.key if flight else None
    return _Run(own.use_case.name, key, stamp, _running(), time.monotonic())


def _running() -> str:
    """The thread or task that the code runs in."""
    thread = threading.current_thread().name
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return thread if task is None else f"{task.get_name()} in {thread}"
