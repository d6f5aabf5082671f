"""Deadlines: what is left until one, and one for something that is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def left(until: float, now: float) -> float:
    """Seconds from *now* to the deadline *until*, both on one clock.

    Raises:
        TimeoutError: There are none.
    """
    if now >= until:
        raise TimeoutError("no answer in time")
    return until - now


async def within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """What *coroutine* returns, if it does so in time; it runs in a task of its own.

    Unlike ``asyncio.wait_for`` it does not wait until a task that is late has ended, and never loses
    a cancellation of its caller.

    Raises:
        TimeoutError: It took longer than *seconds*, and was cancelled.
    """
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if task.done():
            return task.result()
    finally:
        if not task.done():
            task.add_done_callback(_look)
            task.cancel()
    raise TimeoutError(f"no answer within {seconds:g} s")


def _look(task: asyncio.Task[Any]) -> None:
    """Looks at how *task* ended, or asyncio would complain that nobody did."""
    if not task.cancelled():
        task.exception()
