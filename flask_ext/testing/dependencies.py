"""Whether what loaders read by SQLAlchemy is what their values depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from cache_core.testing.blocks import TestBlock
from cache_core.testing.reads import assert_loaded, assert_reads_declared
from flask_ext.testing.apps import Target, caches_of

if TYPE_CHECKING:
    from cache_core.cache import Cache


def assert_dependencies(target: Target, *, strict: bool = True) -> TestBlock:
    """What a loader reads of tracked models is among what its value depends on.

    For a block, a test, or each test of a class. What a loader reads is seen in its SQL, on any
    engine, of the ORM or not. A value depends on a model when it depends on an entity of any key
    type that the model is tracked by; whether it is the right entity is not looked at. Use cases
    that live by their TTL alone are left out, and so is what is called while caching is off.

    Args:
        target: The ``CacheCore`` that the use cases are declared on, ``cache.for_app(app)``, or an
            app for all of its caches.
        strict: Whether a block, or a test, in which no loader runs fails as well: it checks nothing.

    Raises:
        AssertionError: A dependency is missing; names the use case, the table, and what to declare.
            Or no loader has run.
        MissingExtra: SQLAlchemy is not installed.
    """
    return TestBlock(partial(_watched, target, strict))


@contextmanager
def _watched(target: Target, strict: bool) -> Iterator[None]:
    from flask_ext.extension import CacheCore

    declared: set[Cache] = (
        {target}
        if isinstance(target, CacheCore)
        else {each.declaration for each in caches_of(target)}
    )
    with ExitStack() as exits:
        watched = [
            exits.enter_context(assert_reads_declared(cache, _tracked_tables(cache), _listening))
            for cache in declared
        ]
        yield
    if strict:
        assert_loaded(watched)


@contextmanager
def _listening(note: Callable[[str], None]) -> Iterator[None]:
    """Tells *note* of every statement, on all engines."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def noted(_: object, __: object, statement: str, *___: object) -> None:
        note(statement)

    event.listen(Engine, "before_cursor_execute", noted)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", noted)


def _tracked_tables(cache: Cache) -> dict[str, set[str]]:
    """Table -> the key types that a write to it invalidates."""
    from cache_core.sqlalchemy.trackers import TRACKERS

    tracker: Any = TRACKERS.get(cache)
    found: dict[str, set[str]] = {}
    for rule in () if tracker is None else tracker.rules:
        for table in rule.tables() | rule.link_tables():
            found.setdefault(table.name.lower(), set()).add(rule.key_type)
    return found
