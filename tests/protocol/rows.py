"""A cached row whose loader fails, hangs or tells something, in every layer, sync and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cache_core import Answer, Cache, Policy
from cache_core.testing import FakeClock
from tests.protocol.test_flights import until

TTL = 60.0
GRACE = 600.0
LAYERS = ("local", "remote", "both")
IN_EACH_LAYER = pytest.mark.parametrize("layers", LAYERS)
SYNC_AND_ASYNC = pytest.mark.parametrize("kind", ["sync", "async"])


class Down(Exception):
    """The database of a test is down."""


class Row:
    """A cached read of one row.

    Args:
        make_cache: Makes one more process on the shared store.
        layers: "local", "remote" or "both".
        kind: "sync" or "async".
        options: More arguments of ``cached``.
        policy: Fields of its policy besides the TTL.

    Attributes:
        value: What the database has; a load gets it as it is when the load begins.
        error: What the loader raises, None while all is well.
        at_first, during: Called in each load after the value was read: before it hangs, and after.
        began: Set while a load hangs at the gate.
        gate: Where loads wait while it is not set.
        done: How many loads have ended.
    """

    def __init__(
        self,
        make_cache: Callable[..., Cache],
        layers: str = "both",
        kind: str = "sync",
        *,
        options: dict[str, Any] | None = None,
        settings: dict[str, Any] | None = None,
        **policy: Any,
    ) -> None:
        self.value: Any = 0
        self.error: Exception | None = None
        self.reads = self.done = 0
        self.at_first: Callable[[], object] = lambda: None
        self.during: Callable[[], object] = lambda: None
        self.began, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.kind = kind
        embedded = {"remote": None} if layers == "local" else {}
        self.cache = make_cache(**embedded, **(settings or {}))
        ttl: Any = {"remote": TTL} if layers == "remote" else TTL
        self.get: Any = self._declare(Policy(**{"ttl": ttl, **policy}), options or {})

    def _declare(self, policy: Policy, options: dict[str, Any]) -> Any:
        declared = {"key_type": "row", "id_arg": "id", "use_case": "GetRow", **options}

        def get(id: int) -> Any:
            return self._load(self.gate.wait)

        async def aget(id: int) -> Any:
            value = self._read()
            self.began.set()
            while not self.gate.is_set():
                await asyncio.sleep(0)
            return self._end(value)

        return self.cache.cached(policy=policy, **declared)(get if self.kind == "sync" else aget)

    def _load(self, wait: Callable[[float], object]) -> Any:
        value = self._read()
        self.began.set()
        assert wait(10)
        return self._end(value)

    def _read(self) -> Any:
        self.reads += 1
        value = self.value
        self.at_first()
        return value

    def _end(self, value: Any) -> Any:
        try:
            self.during()
            if self.error is not None:
                raise self.error
            return value
        finally:
            self.done += 1

    def hang(self) -> None:
        """From here on loads wait until ``gate`` is set."""
        self.began.clear()
        self.gate.clear()

    def finish(self, loads: int) -> None:
        """Lets loads end, until *loads* have and nothing goes on beside callers."""
        self.gate.set()
        until(lambda: self.done >= loads and self.cache.runtime.background.running == 0)

    def call(self) -> Any:
        """A call in the scope that is open, as the kind of the function is made."""
        return self.get(1) if self.kind == "sync" else asyncio.run(self.get(1))

    def answer(self) -> Answer[Any]:
        """A call in the scope that is open, with what is told of its value."""
        if self.kind == "sync":
            return self.get.answer(1)  # type: ignore[no-any-return]
        return asyncio.run(self.get.aanswer(1))

    def request(self) -> Answer[Any]:
        """What one request gets."""
        with self.cache.enable():
            return self.answer()

    def figures(self) -> dict[str, Any]:
        """The counters of the use case."""
        figures: dict[str, Any] = self.cache.stats()["use_cases"]["GetRow"]
        return figures


def expired(row: Row, clock: FakeClock, seconds: float = TTL + 1) -> Row:
    """*row* with a value 0 that was loaded so many *seconds* ago; the database has a 1 now."""
    assert row.request().value == 0
    clock.advance(seconds)
    row.value = 1
    return row


def failing(row: Row, clock: FakeClock, seconds: float = TTL + 1) -> Row:
    """As ``expired``, and the database is down."""
    expired(row, clock, seconds).error = Down("the database is down")
    return row
