"""Where the steps of a chain become calls: once for threads, once for asyncio.

The algorithm yields what is to be called, as a callable and its arguments, and is sent the result.
"""

from __future__ import annotations

from collections.abc import Generator
from types import CoroutineType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
Steps = Generator[tuple[Any, ...], Any, T]


class _Stopped(Exception):
    """A callable raised StopIteration, which would end the algorithm instead of passing it."""

    def __init__(self, error: StopIteration) -> None:
        self.error = error


def run(steps: Steps[T]) -> T:
    """Runs *steps* to the end in this thread; returns what they return, raises what they raise."""
    try:
        call = next(steps)
        while True:
            try:
                result = call[0](*call[1:])
                if type(result) is CoroutineType:
                    _refuse(result, call[0])
            except StopIteration as error:
                call = steps.throw(_Stopped(error))
            except Exception as error:  # noqa: BLE001 - the algorithm decides
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    except _Stopped as stopped:
        source_error = stopped.error
    except BaseException:
        steps.close()  # now and in this context, when a KeyboardInterrupt ended a call
        raise
    raise source_error  # type: ignore[possibly-undefined]  # the loop only ends by an error


async def arun(steps: Steps[T]) -> T:
    """As ``run``, in this task; awaits what is to be awaited."""
    try:
        call = next(steps)
        while True:
            try:
                result = call[0](*call[1:])
                if hasattr(result, "__await__"):
                    result = await result
            except Exception as error:  # noqa: BLE001 - as above
                call = steps.throw(error)
            else:
                call = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    except BaseException:
        steps.close()  # as above; a task that was cancelled may go on with other work
        raise


def _refuse(coroutine: CoroutineType[Any, Any, Any], source: object) -> NoReturn:
    coroutine.close()
    raise TypeError(f"{source!r} returned a coroutine; an AsyncLink awaits it")
