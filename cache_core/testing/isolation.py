"""Tests apart from each other: nothing that one left in a cache is found by the next.

All of it is about every cache of the process: those that a test suite does not know of, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from cache_core import blocks
from cache_core.protocol import runtime as runtimes
from cache_core.protocol.scope import AnyScope, Scope
from cache_core.testing.blocks import TestBlock
from cache_core.testing.places import caller

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.protocol.runtime import Runtime
    from cache_core.settings import Settings


def caching_off() -> TestBlock:
    """Leaves caching off in every scope that begins in the block, whoever begins it.

    Also where a framework begins one for each request. A cached function is the function. It may
    decorate a test, or a class of tests.
    """
    return TestBlock(_caching_off)


@contextmanager
def _caching_off() -> Iterator[None]:
    before = blocks.on_or_off

    def off(scope: AnyScope, **_: bool) -> AnyScope | None:
        return before(scope, on=False)

    with patch.object(blocks, "on_or_off", off):
        yield


def forget() -> None:
    """Empties what each cache of the process keeps in it: local layer, loads under way, figures.

    Policies, overrides and versions stay, and so does what a store has.
    """
    for runtime in tuple(runtimes._runtimes):  # noqa: SLF001 - of one package
        _forget(runtime)


@contextmanager
def fresh_namespace(cache: Cache, **settings: Any) -> Iterator[None]:
    """Gives *cache* a namespace in which nothing is, for the time of the block.

    So nothing that is left in a shared store is found: not what a test before has put there, nor
    another process that runs tests at the same time.

    Args:
        cache: The cache; what it keeps in this process is forgotten at both ends.
        settings: Fields of ``cache_core.Settings`` that are to be others, too.
    """
    before = cache.runtime.settings
    begin_afresh(cache, **settings)
    try:
        yield
    finally:
        cache.close()
        cache.configure_from(before)


def begin_afresh(cache: Cache, before: Settings | None = None, /, **changes: Any) -> None:
    """Configures *cache* with *changes* and in a namespace that nobody has used.

    Args:
        cache: The cache.
        before: What is changed; None for the settings that it works with.
        changes: Fields of ``cache_core.Settings``.
    """
    before = before or cache.runtime.settings
    namespace = f"{before.namespace[:40]}.{token_hex(8)}"
    cache.configure_from(replace(before, namespace=namespace, **changes))
    if before.remote is not None:
        cache.flush()  # a layer that others made need not know of namespaces


def _forget(runtime: Runtime) -> None:
    runtime.local.clear()
    runtime.flights.after_fork()
    runtime.invalidations = 0
    runtime.round_trips.after_fork()
    for tally in runtime.tallies().values():
        tally.after_fork()
    for own in runtime._targets():  # noqa: SLF001 - of one package
        own.calls_while_off = 0  # type: ignore[attr-defined]  # a cached function, out here


class OpenScopes:
    """The scopes that began and did not end."""

    def __init__(self) -> None:
        self._begun: list[tuple[Scope, str]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes where each scope of the block begins, in any thread or task."""
        begun = self._begun

        class _Noted(Scope):
            __slots__ = ()

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                begun.append((self, caller()))

        with patch.object(blocks, "Scope", _Noted):
            yield

    def close(self) -> tuple[str, ...]:
        """Ends those that are open; returns where they began."""
        left = [(scope, where) for scope, where in self._begun if not scope.closed]
        for scope, _ in left:
            scope.close()
            _leave(scope)
        self._begun.clear()
        return tuple([where for _, where in left])


def _leave(scope: Scope) -> None:
    """Takes *scope* from the running code, if it is in it."""
    current = scope.runtime.current
    for holder in (current.scope, current.active):
        held = holder.get()
        if held is not None and held.real is scope:
            holder.set(None)
