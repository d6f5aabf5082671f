"""The contenders, and what each of them needs installed.

A maker is called when its package is there and returns a ``Peer``; it imports the package itself.
The order of declaration is the order in the tables; the first of a group is its baseline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from tests.benchmarks.machine import note
from tests.benchmarks.subject import Loader

LOCAL, REMOTE, PRODUCTION = "local", "remote", "production"

_MODULES = (
    "by_hand", "own", "in_memory", "gcaches", "regions", "cashew", "djangos", "flasks", "production",
)  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """A loader as one package caches it.

    Args:
        call: Called as the loader is: an id, and optionally a language and a page.
        request: Surrounds the work of one request.
        invalidate: Invalidates every entry of the entity with that id.
        close: Ends connections.
    """

    call: Callable[..., Any]
    request: Callable[[], AbstractContextManager[Any]] = nullcontext
    invalidate: Callable[[int], Any] | None = None
    close: Callable[[], Awaitable[None] | None] = field(default=lambda: None)


@dataclass(frozen=True)
class Order:
    """What a maker is to make.

    Args:
        loader: What is cached.
        url: Where Redis is; empty where there is none. The same throughout a process, because some
            packages can be configured once only.
        lock: Whether processes shall wait for each other's loads, where a package offers that.
    """

    loader: Loader
    url: str = ""
    lock: bool = False


Maker = Callable[[Order], Peer]


@dataclass(frozen=True)
class Entry:
    """A contender that may take part.

    Args:
        name: What tables call it.
        layer: ``LOCAL``, ``REMOTE``, or ``PRODUCTION``: remote, as users set it up.
        is_async: Whether ``call`` and ``invalidate`` are coroutine functions.
        needs: The module that must be importable.
        make: Makes it.
    """

    name: str
    layer: str
    is_async: bool
    needs: str
    make: Maker


_entries: list[Entry] = []


def peer(
    name: str, layer: str, *, needs: str = "cache_core", is_async: bool = False
) -> Callable[[Maker], Maker]:
    """Declares a maker; arguments as ``Entry``."""

    def declare(make: Maker) -> Maker:
        _entries.append(Entry(name, layer, is_async, needs, make))
        return make

    return declare


def entries(layer: str, *, is_async: bool) -> list[Entry]:
    """The contenders of one kind whose packages are there."""
    for module in _MODULES:
        import_module(f"{__name__}.{module}")
    chosen = [entry for entry in _entries if (entry.layer, entry.is_async) == (layer, is_async)]
    return [entry for entry in chosen if _is_there(entry)]


def make_all(layer: str, *, is_async: bool, url: str = "") -> dict[str, Peer]:
    """A peer of each contender of one kind, by name."""
    return {
        entry.name: entry.make(Order(Loader(), url)) for entry in entries(layer, is_async=is_async)
    }


_missing: set[str] = set()


def _is_there(entry: Entry) -> bool:
    if _found(entry.needs):
        return True
    if entry.needs not in _missing:
        _missing.add(entry.needs)
        note(f"left out: {entry.name}, because {entry.needs!r} is not installed")
    return False


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that it would be in
        return False
