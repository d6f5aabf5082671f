"""Where the steps of the backend become calls: once for threads, once for asyncio."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from cache_core.layers.size import weigh
from cache_core.wire.codecs import LARGE
from django_ext.backend.steps import Call, Convert

if TYPE_CHECKING:
    from django_ext.backend.shared import Store
    from django_ext.backend.steps import Steps

T = TypeVar("T")


def run(store: Store, steps: Steps[T]) -> T:
    """Runs *steps* to the end in this thread; returns what they return, raises what they raise."""
    try:
        operation = next(steps)
        while True:
            try:
                if isinstance(operation, Convert):
                    result = operation.function(operation.what)
                elif isinstance(operation, Call):
                    result = operation.function()
                else:
                    result = store.perform(operation)
            except BaseException as error:  # noqa: BLE001 - the steps decide
                operation = steps.throw(error)
            else:
                operation = steps.send(result)
    except StopIteration as end:
        return cast("T", end.value)


async def arun(store: Store, steps: Steps[T]) -> T:
    """Runs *steps* to the end in this task; as ``run``."""
    try:
        operation = next(steps)
        while True:
            try:
                if isinstance(operation, Convert):
                    result = await _converted(operation)
                elif isinstance(operation, Call):
                    result = await _called(operation)
                else:
                    result = await store.aperform(operation)
            except BaseException as error:  # noqa: BLE001 - as above
                operation = steps.throw(error)
            else:
                operation = steps.send(result)
    except StopIteration as end:
        return cast("T", end.value)


async def _converted(operation: Convert) -> Any:
    """A large value, or one that needs the database, is left to the thread of the sync code.

    No other thread has the connections to the databases that the request uses.
    """
    if weigh(operation.what) < LARGE:
        try:
            return operation.function(operation.what)
        except SynchronousOnlyOperation:
            pass
    return await sync_to_async(operation.function, thread_sensitive=True)(operation.what)


async def _called(operation: Call) -> Any:
    answer = operation.function()
    return await answer if inspect.isawaitable(answer) else answer
