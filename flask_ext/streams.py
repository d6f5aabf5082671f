"""Streamed responses: their bodies are made after the request is over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Held = Sequence[tuple["ContextVar[Any]", Any]]
"""Context variables and the value of each."""


class Carried:
    """An iterable whose every step runs under context variables of its own.

    Nothing stays set between two steps, so it does not matter who takes them, on which thread, or
    whether anybody ever takes the last one.

    Args:
        body: What is iterated.
        held: Context variables and their values during a step.
    """

    def __init__(self, body: Iterable[Any], held: Held) -> None:
        self._body = body
        self._steps: Iterator[Any] | None = None
        self._held = held

    def __iter__(self) -> Carried:
        return self

    def __next__(self) -> Any:
        with _set(self._held):
            if self._steps is None:
                self._steps = iter(self._body)
            return next(self._steps)

    def close(self) -> None:
        """Closes the body, as WSGI asks for."""
        with _set(self._held):
            close = getattr(self._body, "close", None)
            if close is not None:
                close()


@contextmanager
def _set(held: Held) -> Iterator[None]:
    tokens = [(variable, variable.set(value)) for variable, value in held]
    try:
        yield
    finally:
        for variable, token in tokens:
            variable.reset(token)
