"""Whether what loaders read is what their values depend on: else a write would not be noticed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.signals import connection_created

from cache_core.keys.text import unescape
from cache_core.testing.blocks import TestBlock
from cache_core.testing.seams import unwrap_loader, wrap_loader
from django_ext.default import cache
from django_ext.tracking import tracker

if TYPE_CHECKING:
    from cache_core.cached import CachedFunction
    from cache_core.protocol.scope import LoadingScope

_READS = ("select", "with", "(", "values")


def assert_dependencies() -> TestBlock:
    """What a loader reads of tracked models is among what its value depends on.

    For a block, a test, or each test of a class. What a loader reads is seen in its SQL. A value
    depends on a model when it depends on an entity of any key type that the model is tracked by;
    whether it is the right entity is not looked at. Use cases that live by their TTL alone are left
    out, and so is what is called while caching is off.

    Raises:
        AssertionError: A dependency is missing; names the use case, the table, and what to declare.
    """
    return TestBlock(_watched)


@contextmanager
def _watched() -> Iterator[None]:
    reads = _Reads()
    with ExitStack() as exits:
        for own in tuple(cache._functions.values()):  # noqa: SLF001 - of one package
            wrap_loader(own, reads.around)
            exits.callback(unwrap_loader, own, reads.around)
        exits.enter_context(_listening(reads.execute))
        yield
    if reads.missing:
        lines = "".join([f"\n  - {each}" for each in sorted(reads.missing)])
        raise AssertionError(f"Loaders read what their values do not depend on:{lines}")


@contextmanager
def _listening(wrapper: Callable[..., Any]) -> Iterator[None]:
    """Puts *wrapper* around every statement, on the connections that are there and on new ones."""
    listened = []

    def listen(connection: Any, **_: object) -> None:
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, wrapper)
            listened.append(connection)

    for connection in connections.all(initialized_only=True):
        listen(connection)
    connection_created.connect(listen)
    try:
        yield
    finally:
        connection_created.disconnect(listen)
        for connection in listened:
            connection.execute_wrappers.remove(wrapper)


class _Reads:
    """What the loads that run have read of tracked tables.

    Attributes:
        missing: What is wrong, one sentence each.
    """

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self._key_types = _tracked_tables()
        names = sorted(map(re.escape, self._key_types), key=len, reverse=True)
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(names) or '(?!)'})(?!\w)")
        self._tables: dict[LoadingScope, set[str]] = {}

    def execute(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any
    ) -> Any:
        """Notes what a statement of a loader reads; a wrapper as Django's database API wants it."""
        loading = cache._current.loading()  # noqa: SLF001 - of one package
        text = str(sql)
        if loading is not None and text.lstrip().lower().startswith(_READS):
            self._tables.setdefault(loading, set()).update(self._pattern.findall(text))
        return execute(sql, params, many, context)

    def around(self, own: CachedFunction, loader: Callable[..., Any]) -> Callable[..., Any]:
        """A loader whose value is judged."""
        judged = partial(self._judge, own)
        if iscoroutinefunction(loader):

            @wraps(loader)
            async def aload(*args: Any, **kwargs: Any) -> Any:
                return judged(await loader(*args, **kwargs), args, kwargs)

            return aload

        @wraps(loader)
        def load(*args: Any, **kwargs: Any) -> Any:
            return judged(loader(*args, **kwargs), args, kwargs)

        return load

    def _judge(
        self, own: CachedFunction, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """*value*, once it is noted what it does not depend on."""
        loading = cache._current.loading()  # noqa: SLF001 - of one package
        tables = self._tables.pop(loading, set()) if loading is not None else set()
        if loading is None or not tables or not cache.runtime.plan(own).tracked:
            return value
        pending = own.pending(*args, **kwargs)
        things = set(own.identify(pending.key, pending.args, pending.kwargs).things)
        things.update(loading.found.versions(), loading.found.named(()))
        if own.late is not None:
            things.update(own.late(value))
        known = _key_types_of(things)
        for table in tables:
            wanted = self._key_types[table]
            if not wanted & known:
                self.missing.add(_sentence(own.use_case.name, table, wanted))
        return value


def _sentence(use_case: str, table: str, key_types: Iterable[str]) -> str:
    names = " or ".join([repr(each) for each in sorted(key_types)])
    return f"{use_case} reads {table}; have it depend on {names}, with depends_on= or in its loader"


def _tracked_tables() -> dict[str, set[str]]:
    """Table -> the key types that a write to it invalidates; a child's row is in several tables."""
    found: dict[str, set[str]] = {}
    for mapping in tracker.mappings:
        if mapping.mistake() is None:
            meta = mapping.model._meta
            for model in (mapping.model, *meta.get_parent_list()):
                found.setdefault(model._meta.db_table, set()).add(mapping.key_type)
    return found


def _key_types_of(things: Iterable[str]) -> set[str]:
    return {unescape(thing[1:].partition(":")[0]) for thing in things if ":" in thing}
