"""Context managers that decorate tests as well: functions, coroutine functions and classes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, TypeVar
from unittest import TestCase

T = TypeVar("T")


class TestBlock(AbstractContextManager[None]):
    """A block that may also stand above a test, or above a class for each of its tests.

    Args:
        make: Makes what is entered, a new one each time.
    """

    __test__ = False  # pytest takes it for a class of tests by its name

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._entered: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        """Enters a new one."""
        block = self._make()
        block.__enter__()
        self._entered.append(block)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the one that was entered last."""
        self._entered.pop().__exit__(kind, error, trace)

    def __call__(self, decorated: T) -> T:
        """*decorated*, run in the block: a test, or each test of a class."""
        if not isinstance(decorated, type):
            around: T = _around(decorated, self._make)
            return around
        if issubclass(decorated, TestCase):
            _set_up_in(decorated, self._make)
        else:
            for name, method in list(vars(decorated).items()):
                if name.startswith("test") and callable(method):
                    setattr(decorated, name, _around(method, self._make))
        return decorated


def _around(function: Any, make: Callable[[], AbstractContextManager[None]]) -> Any:
    if iscoroutinefunction(function):

        @wraps(function)
        async def arun(*args: Any, **kwargs: Any) -> Any:
            with make():
                return await function(*args, **kwargs)

        return arun

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with make():
            return function(*args, **kwargs)

    return run


def _set_up_in(kind: Any, make: Callable[[], AbstractContextManager[None]]) -> None:
    """Has the tests of a ``TestCase``, and their own setUp, run in the block."""
    before = kind.setUp

    @wraps(before)
    def set_up(self: TestCase) -> None:
        block = make()
        block.__enter__()
        self.addCleanup(block.__exit__, None, None, None)
        before(self)

    kind.setUp = set_up
