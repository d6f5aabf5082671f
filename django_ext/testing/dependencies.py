"""Whether what loaders read is what their values depend on: else a write would not be noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created

from cache_core.testing.blocks import TestBlock
from cache_core.testing.reads import assert_loaded, assert_reads_declared
from django_ext.default import cache
from django_ext.tracking import tracker


def assert_dependencies(*, strict: bool = True) -> TestBlock:
    """What a loader reads of tracked models is among what its value depends on.

    For a block, a test, or each test of a class. What a loader reads is seen in its SQL. A value
    depends on a model when it depends on an entity of any key type that the model is tracked by;
    whether it is the right entity is not looked at. Use cases that live by their TTL alone are left
    out, and so is what is called while caching is off. What a coroutine function reads in another
    thread is seen where its connection was opened in the block.

    Args:
        strict: Whether a block, or a test, in which no loader runs fails as well: it checks nothing.

    Raises:
        AssertionError: A dependency is missing; names the use case, the table, and what to declare.
            Or no loader has run.
    """
    return TestBlock(partial(_declared, strict))


@contextmanager
def _declared(strict: bool) -> Iterator[None]:
    with assert_reads_declared(cache, _tracked_tables(), _listening) as watched:
        yield
    if strict:
        assert_loaded([watched])


@contextmanager
def _listening(note: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Tells *note* of every statement, on new connections and on those of threads with a load.

    Each thread has connections of its own, which may have been open before the block.
    """
    listened = []

    def wrapper(execute: Callable[..., Any], sql: Any, *rest: Any) -> Any:
        note(str(sql))
        return execute(sql, *rest)

    def listen(connection: Any, **_: object) -> None:
        if wrapper not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, wrapper)
            listened.append(connection)

    def listen_here() -> None:
        for connection in connections.all(initialized_only=True):
            listen(connection)

    connection_created.connect(listen)
    try:
        yield listen_here
    finally:
        connection_created.disconnect(listen)
        for connection in listened:
            connection.execute_wrappers.remove(wrapper)


def _tracked_tables() -> dict[str, set[str]]:
    """Table -> the key types that a write to it invalidates; a child's row is in several tables."""
    found: dict[str, set[str]] = {}
    for mapping in tracker.mappings:
        if mapping.mistake() is None:
            meta = mapping.model._meta
            for model in (mapping.model, *meta.get_parent_list()):
                found.setdefault(model._meta.db_table, set()).add(mapping.key_type)
    return found
