"""What loaders read, beside what their values depend on: the rest is read and never invalidated."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, TypeAlias

from cache_core.keys.text import unescape
from cache_core.testing.seams import unwrap_loader, wrap_loader

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction
    from cache_core.protocol.scope import LoadingScope

Here: TypeAlias = "Callable[[], object] | None"
Listening: TypeAlias = Callable[[Callable[[str], None]], AbstractContextManager[Here]]
"""Has a callable be told of each statement, in SQL, before it is carried out in the block.

What it gives is called in the thread of each load before that begins, if it is callable.
"""

_READS = re.compile(
    r"(?:\s|/\*.*?\*/|--[^\n]*\n)*(?:SELECT|WITH|VALUES|\()", re.IGNORECASE | re.DOTALL
)
"""What a read begins with; some middlewares put a comment in front."""
_SOURCES = re.compile(
    r"\bFROM\b(.*?)(?=\b(?:SELECT|GROUP|ORDER|HAVING|LIMIT|UNION|EXCEPT|INTERSECT|WINDOW|FETCH)\b|$)",
    re.IGNORECASE | re.DOTALL,
)
"""Where SQL names tables. WHERE does not end it: a subquery with one may stand among them."""
_JOINS = re.compile(r"\bJOIN\b\s+[^\s,()]+", re.IGNORECASE)
"""Joins may also stand behind a subquery that is grouped or ordered."""
_BEFORE = r"(?:^|\bJOIN\b|,)[\s(]*(?:(?:ONLY|LATERAL)\s+)?"
_SCHEMA = r'(?:["`\[]?[\w$]+["`\]]?\s*\.\s*)*["`\[]?'


@contextmanager
def assert_reads_declared(
    cache: Cache, key_types: Mapping[str, Iterable[str]], listening: Listening
) -> Iterator[Watched]:
    """What the loaders of *cache* read of tracked tables is among what their values depend on.

    Args:
        cache: Whose use cases. Those that live by their TTL alone are left out, and so is what is
            called while caching is off.
        key_types: Table -> the key types that a write to it invalidates. A value depends on a table
            when it depends on any of them; whether on the right entity is not looked at.
        listening: How statements are heard of.

    Returns:
        What ``assert_loaded`` wants to know.

    Raises:
        AssertionError: A dependency is missing; names the use case, the table, and what to declare.
    """
    reads = Watched(cache, key_types)
    with ExitStack() as exits:
        for own in cache.functions():
            wrap_loader(own, reads.around)
            exits.callback(unwrap_loader, own, reads.around)
        reads.here = exits.enter_context(listening(reads.note))
        yield reads
    if reads.missing:
        lines = "".join([f"\n  - {each}" for each in sorted(reads.missing)])
        raise AssertionError(f"Loaders read what their values do not depend on:{lines}")


def assert_loaded(watched: Iterable[Watched]) -> None:
    """Some loader has run where it was watched: else nothing was found out.

    Args:
        watched: What ``assert_reads_declared`` gave, of all caches.

    Raises:
        AssertionError: None has; it says what to do.
    """
    if not any(each.loaded for each in watched):
        raise AssertionError(
            "No loader has run with caching on, so nothing was checked. Call a cached function in the "
            "block, with a fresh cache; or say strict=False where not every test loads something."
        )


class Watched:
    """What the loads that run have read of tracked tables.

    Attributes:
        here: What listening gave.
        loaded: Whether a load has run.
        missing: What is wrong, one sentence each.
    """

    here: Here = None

    def __init__(self, cache: Cache, key_types: Mapping[str, Iterable[str]]) -> None:
        self.loaded = False
        self.missing: set[str] = set()
        self._current = cache._current  # noqa: SLF001 - of one package
        self._key_types = {table.lower(): set(names) for table, names in key_types.items()}
        self._pattern = _pattern_of(self._key_types)
        self._tables: dict[LoadingScope, set[str]] = {}

    def note(self, sql: str) -> None:
        """Notes what a statement reads, when a loader asks for it."""
        loading = self._current.loading()
        if loading is not None and _READS.match(sql):
            parts = [*_SOURCES.findall(sql), *_JOINS.findall(sql)]
            names = [name for part in parts for name in self._pattern.findall(part)]
            self._tables.setdefault(loading, set()).update([name.lower() for name in names])

    def around(self, own: CachedFunction, loader: Callable[..., Any]) -> Callable[..., Any]:
        """A loader whose value is judged."""
        judged = partial(self._judge, own)
        if iscoroutinefunction(loader):

            @wraps(loader)
            async def aload(*args: Any, **kwargs: Any) -> Any:
                self._begin()
                return judged(await loader(*args, **kwargs), args, kwargs)

            return aload

        @wraps(loader)
        def load(*args: Any, **kwargs: Any) -> Any:
            self._begin()
            return judged(loader(*args, **kwargs), args, kwargs)

        return load

    def _begin(self) -> None:
        self.loaded = True
        if self.here is not None:
            self.here()

    def _judge(
        self, own: CachedFunction, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """*value*, once it is noted what it does not depend on."""
        loading = self._current.loading()
        tables = self._tables.pop(loading, set()) if loading is not None else set()
        if loading is None or not tables or not loading.runtime.plan(own).tracked:
            return value
        pending = own.pending(*args, **kwargs)
        things = set(own.identify(pending.key, pending.args, pending.kwargs).things)
        things.update(loading.found.versions(), loading.found.named(()))
        if own.late is not None:
            things.update(own.late(value))
        known = {unescape(thing[1:].partition(":")[0]) for thing in things if ":" in thing}
        for table in tables:
            wanted = self._key_types[table]
            if not wanted & known:
                self.missing.add(_sentence(own.use_case.name, table, wanted))
        return value


def _pattern_of(tables: Iterable[str]) -> re.Pattern[str]:
    """Finds *tables* behind FROM, JOIN and commas, and not where a column is named."""
    names = sorted(map(re.escape, tables), key=len, reverse=True)
    either = "|".join(names) or "(?!)"
    return re.compile(rf"{_BEFORE}{_SCHEMA}({either})(?![\w$])(?![\"`\]]?\s*\.)", re.IGNORECASE)


def _sentence(use_case: str, table: str, key_types: Iterable[str]) -> str:
    names = " or ".join([repr(each) for each in sorted(key_types)])
    return f"{use_case} reads {table}; have it depend on {names}, with depends_on= or in its loader"
