"""How often loaders ran and layers served: assertions over the counters that every cache keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cache_core.errors import DeclarationError

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction
    from cache_core.counters import Tally
    from cache_core.testing.capturing import Caches

_LAYERS = ("request", "local", "remote")


@dataclass(frozen=True, slots=True)
class _Figures:
    """What had happened to a use case at one moment."""

    loads: int
    joined: int
    calls_while_off: int
    hits: tuple[int, ...]

    @classmethod
    def of(cls, own: CachedFunction, tallies: Iterable[Tally]) -> _Figures:
        tallies = {id(tally): tally for tally in tallies}.values()
        return cls(
            sum([tally.loads for tally in tallies]),
            sum([tally.joined for tally in tallies]),
            own.calls_while_off,
            tuple([sum([getattr(each, f"{name}_hits") for each in tallies]) for name in _LAYERS]),
        )

    def __sub__(self, before: _Figures) -> _Figures:
        return _Figures(
            self.loads - before.loads,
            self.joined - before.joined,
            self.calls_while_off - before.calls_while_off,
            tuple([now - then for now, then in zip(self.hits, before.hits)]),
        )

    def __str__(self) -> str:
        hits = ", ".join([f"{number} {layer}" for layer, number in zip(_LAYERS, self.hits)])
        text = f"{self.loads} loads, {self.joined} shared another caller's load, hits: {hits}"
        if self.calls_while_off:
            text += (
                f". {self.calls_while_off} calls ran while caching was off: enter cache.enable(), "
                "in each thread of its own"
            )
        return text


def assert_loads(function: Callable[..., Any], number: int) -> AbstractContextManager[None]:
    """The loader of a cached function runs *number* times in the block, in any thread or task.

    Args:
        function: What ``cached`` returned.
        number: How often the cache runs it. Calls while caching is off are not loads.

    Raises:
        AssertionError: It ran more or less often; tells what the calls met.
        DeclarationError: *function* is not a cached function.
    """
    own = cached_function(function)
    return loads_of(own, number, lambda: (own.cache,))


@contextmanager
def loads_of(own: CachedFunction, number: int, caches: Caches) -> Iterator[None]:
    """As ``assert_loads``, for the loads of several caches together."""
    tallies = _tallies(own, caches())
    before = _Figures.of(own, tallies)
    yield
    # There may be more by now, and none of the first may be left out.
    found = _Figures.of(own, tallies + _tallies(own, caches())) - before
    if found.loads != number:
        raise AssertionError(
            f"{own.use_case.name} was to be loaded {number} times, and there were {found}"
        )


@contextmanager
def assert_hits(
    function: Callable[..., Any], number: int | None = None, **by_layer: int
) -> Iterator[None]:
    """A cached function is served from the cache *number* times in the block.

    Args:
        function: What ``cached`` returned.
        number: Hits of all layers together; None where only *by_layer* counts.
        by_layer: Hits of a layer: ``request=``, ``local=`` or ``remote=``.

    Raises:
        AssertionError: There were more or less hits; tells what the calls met.
        DeclarationError: *function* is not a cached function.
        TypeError: There is no such layer, or nothing to expect.
    """
    if not by_layer.keys() <= set(_LAYERS) or (number is None and not by_layer):
        raise TypeError(
            f"assert_hits() was given {sorted(by_layer)}; give a number of hits, or numbers for "
            f"some of the layers {', '.join(_LAYERS)}"
        )
    own = cached_function(function)
    tallies = _tallies(own, (own.cache,))
    before = _Figures.of(own, tallies)
    yield
    found = _Figures.of(own, tallies) - before
    hits = dict(zip(_LAYERS, found.hits))
    wrong = [
        f"{expected} {layer}" for layer, expected in by_layer.items() if hits[layer] != expected
    ]
    if number is not None and sum(found.hits) != number:
        wrong.insert(0, str(number))
    if wrong:
        raise AssertionError(
            f"{own.use_case.name} was to have {', '.join(wrong)} hits, and there were {found}"
        )


def _tallies(own: CachedFunction, caches: Iterable[Cache]) -> list[Tally]:
    return [cache.runtime.tally(own.use_case.name) for cache in caches]


def cached_function(function: Callable[..., Any]) -> CachedFunction:
    """What stands behind a cached function or method.

    Raises:
        DeclarationError: It is none.
    """
    own: CachedFunction | None = getattr(function, "cached_function", None)
    if own is None:
        name = getattr(function, "__qualname__", repr(function))
        raise DeclarationError(f"{name} is not a cached function; give what @cached returned")
    return own
