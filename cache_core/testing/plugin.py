"""The pytest plugin: fixtures and a marker for code that uses a cache.

pytest loads it wherever the package is installed, so it imports nothing of the package before a
test asks for it, and does nothing to tests that do not.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cache_core import Cache
    from cache_core.testing import FakeClock, FakeStore

MARKER = "cache_core"
RESET = "cache_core_reset"
OPTIONS = ("enabled", "chaos")
_ISOLATION = "cache_core_isolation"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the ini option."""
    parser.addini(
        RESET,
        "forget what caches hold in the process between any two tests, and fail a test that leaves "
        "a scope open (default: only for tests with the marker cache_core)",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(enabled=None, chaos=None): run with empty caches; with caching on or off; with "
        "faults, as a mapping of arguments of cache_core.testing.chaos",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Has tests that ask for it begin and end apart from the others, before all other fixtures."""
    names: list[str] | None = getattr(item, "fixturenames", None)
    if names is None or _ISOLATION in names:
        return
    if item.config.getini(RESET) or item.get_closest_marker(MARKER):
        names.insert(0, _ISOLATION)


@pytest.fixture
def cache_core_clock() -> FakeClock:
    """A clock that stands still until the test moves it."""
    from cache_core.testing import FakeClock

    return FakeClock()


@pytest.fixture
def cache_core_store(cache_core_clock: FakeClock) -> FakeStore:
    """A remote layer in memory, on the test's clock."""
    from cache_core.testing import FakeStore

    return FakeStore(cache_core_clock)


@pytest.fixture
def cache_core_caches() -> Iterable[Cache]:
    """The caches that the marker's ``enabled=True`` and ``chaos=`` are about; define your own."""
    raise pytest.UsageError(
        "The marker cache_core does not know which caches it is about; define a fixture "
        "cache_core_caches in conftest.py that returns them, as in: return [cache]"
    )


@pytest.fixture
def cache_off() -> Iterator[None]:
    """Caching is off in every scope that begins, also in a framework's requests."""
    from cache_core.testing.isolation import caching_off

    with caching_off():
        yield


@pytest.fixture
def no_caching(cache_off: None) -> None:
    """As ``cache_off``."""


@pytest.fixture
def cache_core_isolation(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the marker and the ini option ask for; see there."""
    from cache_core.testing.isolation import OpenScopes, caching_off, forget

    wanted = _wanted(request.node)
    scopes = OpenScopes()
    forget()
    with ExitStack() as stack:
        stack.enter_context(scopes.watched())
        if wanted.get("enabled") is False:
            stack.enter_context(caching_off())
        if wanted.get("enabled") or wanted.get("chaos"):
            _enter(stack, tuple(request.getfixturevalue("cache_core_caches")), wanted)
        yield
    left = scopes.close()
    forget()
    if left:
        lines = "".join([f"\n  - {where}" for where in left])
        pytest.fail(f"Scopes of a cache were left open; they began at:{lines}", pytrace=False)


def _wanted(item: pytest.Item) -> dict[str, Any]:
    """What the markers of a test say; the closest one counts."""
    wanted: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers(MARKER))):
        wanted.update(marker.kwargs)
        if marker.args or not marker.kwargs.keys() <= set(OPTIONS):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker {MARKER} was given {marker.args or marker.kwargs!r}; "
                f"it takes {' and '.join(OPTIONS)} by name"
            )
    return wanted


def _enter(stack: ExitStack, caches: tuple[Cache, ...], wanted: dict[str, Any]) -> None:
    from cache_core.testing import chaos

    if wanted.get("enabled"):
        for cache in caches:
            stack.enter_context(cache.enable())
    if wanted.get("chaos"):
        block = chaos(*caches, **wanted["chaos"])
        print(f"{block!r}")  # noqa: T201 - pytest shows it where the test fails
        stack.enter_context(block)
