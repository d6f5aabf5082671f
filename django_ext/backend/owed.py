"""Keys that have to be removed from Redis as soon as it answers again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

from cache_core.events import logger

MOST: Final = 10_000
"""So many keys are remembered at most; the oldest are forgotten first."""


class Owed:
    """Keys whose last write or removal was not acknowledged.

    Every step is one operation of a dict, so threads need no lock.
    """

    def __init__(self) -> None:
        self._keys: dict[str, object] = {}
        self._is_told = False

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, keys: Iterable[str]) -> None:
        """Notes *keys*."""
        note = object()
        self._keys.update(dict.fromkeys(keys, note))
        surplus = len(self._keys) - MOST
        if surplus > 0:
            self._forget(surplus)

    def all(self) -> Mapping[str, object]:
        """All of them, as they are now."""
        return self._keys.copy() if self._keys else {}

    def paid(self, keys: Mapping[str, object]) -> None:
        """These were removed from Redis; those that were noted again since then stay."""
        for key, note in keys.items():
            if self._keys.get(key) is note:
                self._keys.pop(key, None)
        self._is_told = self._is_told and bool(self._keys)

    def _forget(self, number: int) -> None:
        for key in tuple(islice(self._keys.copy(), number)):
            self._keys.pop(key, None)
        if not self._is_told:
            self._is_told = True
            logger.error(
                "More than %d keys of a cache wait to be removed from Redis, and the oldest are "
                "forgotten; what is old there is served until its timeout",
                MOST,
            )
