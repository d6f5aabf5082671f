"""What every contender caches: one small record, as it comes out of a database."""

from __future__ import annotations

import asyncio
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

IDS = range(1000, 1256)
"""The entities that one request reads; beyond the small integers that CPython keeps."""

_numbers = count(1)


def record(user_id: int, lang: str, page: int) -> dict[str, Any]:
    """About 200 bytes as a pickle."""
    return {
        "id": user_id,
        "name": "Ada Lovelace",
        "email": "ada@example.org",
        "languages": [lang, "fr", "de"],
        "page": page,
        "active": True,
        "score": 0.75,
        "city": "London",
        "tags": ["analyst", "engine", "notes"],
    }


def fresh_name(stem: str = "load") -> str:
    """A name that no other contender has, for key prefixes and use cases."""
    return f"{stem}{next(_numbers)}"


class Loader:
    """Loads records and counts how often it did.

    Args:
        seconds: How long a load takes; it sleeps, as a query does from the caller's view.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.runs = 0
        self._lock = threading.Lock()

    def function(self) -> Callable[..., Any]:
        """A new plain function; packages that build keys of names need one with a name."""

        def load(user_id: int, lang: str = "en", page: int = 1) -> dict[str, Any]:
            self._count()
            if self.seconds:
                time.sleep(self.seconds)
            return record(user_id, lang, page)

        return _named(load)

    def coroutine_function(self) -> Callable[..., Any]:
        """As ``function``, for asyncio."""

        async def load(user_id: int, lang: str = "en", page: int = 1) -> dict[str, Any]:
            self._count()
            if self.seconds:
                await asyncio.sleep(self.seconds)
            return record(user_id, lang, page)

        return _named(load)

    def _count(self) -> None:
        with self._lock:
            self.runs += 1


def _named(load: Callable[..., Any]) -> Callable[..., Any]:
    load.__name__ = load.__qualname__ = fresh_name()
    return load
