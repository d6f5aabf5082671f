"""Freshness: no read returns what had been replaced when it began, whoever wrote and read.

The rule is that of a regular register: a read may return what was written last when it began, or
what was written while it ran. The cache and its clocks have no part in it; what counts is the order
in which writes ended and reads began.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from inspect import isawaitable, iscoroutinefunction
from itertools import count
from math import inf
from typing import Any

from cache_core.testing.places import caller

_LAST = 12
_MOST = 3


@dataclass(eq=False)
class _Step:
    """A write or a read, from its beginning to its end in the order of all steps."""

    kind: str
    value: Any
    began: float
    ended: float
    where: str

    def __str__(self) -> str:
        verb = "was written" if self.kind == "write" else "was read"
        return f"{self.value!r} {verb} by {self.where}"


class Seen:
    """What was written and read; ``assert_no_stale`` makes one and judges it at the end."""

    def __init__(self) -> None:
        self._order = count(1)
        self._lock = threading.Lock()
        self._history: dict[Hashable, list[_Step]] = {}
        self._current: dict[Hashable, Any] = {}

    def write(self, key: Hashable, value: Any) -> None:
        """Says that *value* is what there is from now on: committed, and the old one invalidated.

        Args:
            key: What was written, in any words.
            value: What a read must return, compared by ``==``; best one that was never written
                before.
        """
        now = next(self._order)
        self._add(key, _Step("write", value, now, now, caller()))

    @contextmanager
    def writing(self, key: Hashable, value: Any) -> Iterator[None]:
        """Around a commit and its invalidation; where several write one key at the same time.

        If the block raises, nobody knows whether the value was written: then it may be read.
        """
        step = _Step("write", value, next(self._order), inf, caller())
        self._add(key, step)
        yield
        step.ended = next(self._order)

    def read(self, key: Hashable, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls *function* with the arguments that follow, and notes what it returned for *key*."""
        began, where = next(self._order), caller()
        value = function(*args, **kwargs)
        self._add(key, _Step("read", value, began, next(self._order), where))
        return value

    async def aread(
        self, key: Hashable, function: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        """As ``read``, for coroutine functions."""
        began, where = next(self._order), caller()
        value = await function(*args, **kwargs)
        self._add(key, _Step("read", value, began, next(self._order), where))
        return value

    def checked(self, function: Callable[..., Any], source: Callable[..., Any]) -> Any:
        """The *function*, each call of which is compared to what *source* says before and after it.

        For tests in which nobody writes between a commit and its invalidation while others read.

        Args:
            function: A cached function, sync or async.
            source: Called with the same arguments; returns what there really is. A coroutine
                function only where *function* is one.
        """
        if iscoroutinefunction(function):

            @wraps(function)
            async def aread(*args: Any, **kwargs: Any) -> Any:
                key = _key(args, kwargs)
                began = next(self._order)
                self._is_now(key, await _answer(source(*args, **kwargs)), began)
                value = await self.aread(key, function, *args, **kwargs)
                began = next(self._order)
                self._is_now(key, await _answer(source(*args, **kwargs)), began)
                return value

            return aread

        @wraps(function)
        def read(*args: Any, **kwargs: Any) -> Any:
            key = _key(args, kwargs)
            began = next(self._order)
            self._is_now(key, source(*args, **kwargs), began)
            value = self.read(key, function, *args, **kwargs)
            began = next(self._order)
            self._is_now(key, source(*args, **kwargs), began)
            return value

        return read

    def check(self) -> None:
        """Judges all reads so far.

        Raises:
            AssertionError: One of them was stale, with the history of its key.
        """
        stale = [
            (key, read)
            for key, steps in tuple(self._history.items())
            for read in steps
            if read.kind == "read" and _is_stale(read, steps)
        ]
        if stale:
            told = "".join([self._told(key, read) for key, read in stale[:_MOST]])
            raise AssertionError(f"{len(stale)} reads were stale:{told}")

    def _is_now(self, key: Hashable, value: Any, began: float) -> None:
        """The source says *value*, which was asked when *began* was."""
        with self._lock:
            if key in self._current and self._current[key] == value:
                return
            self._current[key] = value
        self._add(key, _Step("write", value, began, next(self._order), caller()))

    def _add(self, key: Hashable, step: _Step) -> None:
        with self._lock:
            self._history.setdefault(key, []).append(step)

    def _told(self, key: Hashable, read: _Step) -> str:
        steps = sorted(self._history[key], key=lambda step: step.began)
        until = steps.index(read) + 1
        lines = [
            f"\n    {'>' if step is read else ' '} {step}"
            for step in steps[max(0, until - _LAST) : until]
        ]
        return f"\n  {key!r}, in the order in which the steps began:{''.join(lines)}"


@contextmanager
def assert_no_stale() -> Iterator[Seen]:
    """No read that the block tells of returns what had been replaced when it began.

    Judged at the end of the block: a value may be read before its writer says that it wrote it.

    Yields:
        What is told of writes and reads, from any thread or task.

    Raises:
        AssertionError: A read was stale; tells which, and what happened to its key before.
    """
    seen = Seen()
    yield seen
    seen.check()


def _is_stale(read: _Step, steps: list[_Step]) -> bool:
    writes = [step for step in steps if step.kind == "write"]
    over = [write for write in writes if write.ended < read.began]
    sources = [write for write in writes if write.value == read.value]
    if not sources:
        return bool(over)  # from before the first write, or from nowhere
    return all(any(write.ended < later.began for later in over) for write in sources)


def _key(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Hashable:
    key = (*args, *sorted(kwargs.items()))
    try:
        hash(key)
    except TypeError:
        return repr(key)
    return key


async def _answer(given: Any) -> Any:
    return await given if isawaitable(given) else given
