"""Where operations become calls: once for threads, once for asyncio.

A driver runs an algorithm of this package: it takes each operation that the generator yields,
carries it out, and sends the result or throws the error back in. Loaders of sync functions run in
the caller's thread, coroutine functions in the caller's task, so thread-locals, transactions and
context variables are what the caller sees.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from _thread import allocate_lock
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from cache_core.errors import CacheCoreError
from cache_core.events import Loaded as LoadedEvent
from cache_core.events import LoadFailed
from cache_core.policy.provider import answered
from cache_core.protocol.flights import Flight, FlightOutcome
from cache_core.protocol.operations import (
    Ask,
    Compute,
    Convert,
    Fetch,
    Load,
    Loaded,
    Now,
    Operation,
    Sleep,
    Spawn,
    Steps,
    Wait,
)
from cache_core.protocol.scope import LoadingScope

if TYPE_CHECKING:
    from cache_core.layers.base import RemoteLayer
    from cache_core.policy.policy import Policy
    from cache_core.policy.provider import PolicyFailure, Provider
    from cache_core.protocol.runtime import Runtime

T = TypeVar("T")


class _Stopped(Exception):
    """A loader raised StopIteration, which would end the algorithm instead of passing it."""

    def __init__(self, error: StopIteration) -> None:
        self.error = error


def run(runtime: Runtime, steps: Steps[T]) -> T:
    """Runs *steps* to the end in this thread; returns what they return, raises what they raise."""
    try:
        operation = next(steps)
        while True:
            try:
                result = _perform(runtime, operation)
            except BaseException as error:  # noqa: BLE001 - the algorithm decides
                operation = steps.throw(error)
            else:
                operation = steps.send(result)
    except StopIteration as end:
        value: T = end.value
        return value
    except _Stopped as stopped:
        loader_error = stopped.error
    raise loader_error  # type: ignore[possibly-undefined]  # the loop only ends by an error


async def arun(runtime: Runtime, steps: Steps[T]) -> T:
    """Runs *steps* to the end in this task; as ``run``."""
    try:
        operation = next(steps)
        while True:
            try:
                result = await _aperform(runtime, operation)
            except BaseException as error:  # noqa: BLE001 - the algorithm decides
                operation = steps.throw(error)
            else:
                operation = steps.send(result)
    except StopIteration as end:
        return cast("T", end.value)


def _perform(runtime: Runtime, operation: Operation) -> object:
    if type(operation) is Fetch:  # first, because it is by far the most frequent
        return _remote(runtime).perform(operation)
    if isinstance(operation, Load):
        return _load(runtime, operation)
    if isinstance(operation, Wait):
        return _wait(operation.flight, _patience(runtime, operation))
    if isinstance(operation, (Ask, Compute, Convert, Sleep, Now)):
        return _attend(runtime, operation)
    if isinstance(operation, Spawn):
        return _spawn(runtime, operation)
    return _remote(runtime).perform(operation)


async def _aperform(runtime: Runtime, operation: Operation) -> object:
    if type(operation) is Fetch:
        return await runtime.ticks.fetch(operation)
    if isinstance(operation, Load):
        return await _aload(runtime, operation)
    if isinstance(operation, Wait):
        return await _await(operation.flight, _patience(runtime, operation))
    if isinstance(operation, (Ask, Compute, Convert, Sleep, Now)):
        return await _aattend(runtime, operation)
    if isinstance(operation, Spawn):
        return runtime.background.start(arun(runtime, operation.steps), operation.dropped)
    return await _remote(runtime).aperform(operation)


def _attend(runtime: Runtime, operation: Ask | Compute | Convert | Sleep | Now) -> object:
    if isinstance(operation, Ask):
        return _ask(_provider(runtime), operation.use_case)
    if isinstance(operation, Compute):
        answer = operation.function(*operation.args, **operation.kwargs)
        return _finish(answer) if inspect.isawaitable(answer) else answer
    if isinstance(operation, Convert):
        return operation.function(*operation.args)
    if isinstance(operation, Sleep):
        time.sleep(operation.seconds)
    return runtime.clock.monotonic()


async def _aattend(runtime: Runtime, operation: Ask | Compute | Convert | Sleep | Now) -> object:
    if isinstance(operation, Ask):
        return await _aask(_provider(runtime), operation.use_case)
    if isinstance(operation, Compute):
        answer = operation.function(*operation.args, **operation.kwargs)
        return await answer if inspect.isawaitable(answer) else answer
    if isinstance(operation, Convert):
        # With the caller's context variables: to pickle an object may run methods of its class.
        return await asyncio.to_thread(operation.function, *operation.args)
    if isinstance(operation, Sleep):
        await asyncio.sleep(operation.seconds)
    return runtime.clock.monotonic()


def _spawn(runtime: Runtime, operation: Spawn) -> bool:
    work = partial(run, runtime, operation.steps)
    if operation.later is not None and operation.later.put_off(work):
        return True
    return runtime.background.submit(work, operation.dropped)


def _patience(runtime: Runtime, operation: Wait) -> float:
    return runtime.flight_seconds if operation.seconds is None else operation.seconds


def _remote(runtime: Runtime) -> RemoteLayer:
    assert runtime.remote is not None  # the algorithms yield remote operations only then
    return runtime.remote


def _provider(runtime: Runtime) -> Provider:
    assert runtime.provider is not None  # the algorithms ask only then
    return runtime.provider


def _ask(provider: Provider, use_case: str) -> Policy | PolicyFailure | None:
    try:
        answer = provider.ask(use_case)
        return answered(use_case, _finish(answer) if inspect.isawaitable(answer) else answer)
    except Exception as error:  # noqa: BLE001 - whatever a provider raises turns the layers off
        return answered(use_case, error)


async def _aask(provider: Provider, use_case: str) -> Policy | PolicyFailure | None:
    try:
        answer = provider.ask(use_case)
        return answered(use_case, await answer if inspect.isawaitable(answer) else answer)
    except Exception as error:  # noqa: BLE001 - as above
        return answered(use_case, error)


def _finish(awaitable: Awaitable[T]) -> T:
    """The result of *awaitable* for a sync caller.

    Where no event loop runs in this thread, one is made for it. Where one runs, it must not be
    blocked: then only an awaitable that never really waits has a result.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(awaitable))
    steps = _awaited(awaitable)
    try:
        steps.send(None)
    except StopIteration as end:
        return cast("T", end.value)
    steps.close()
    raise CacheCoreError(
        "The policy provider has to wait, but a sync cached function was called on an event loop, "
        "which must not block; give the provider a snapshot, or make the function async."
    )


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


class _Timing:
    """How long a load took; tells the counters and the hooks.

    While it runs, its code finds a ``LoadingScope`` in place of its scope.
    """

    def __init__(self, runtime: Runtime, operation: Load) -> None:
        self._runtime = runtime
        self._operation = operation

    @contextmanager
    def measured(self) -> Iterator[None]:
        call, flight = self._operation.call, self._operation.flight
        loading = LoadingScope(call.scope, call.found, flight, call.loading)
        current = self._runtime.current
        scope, active = current.scope.set(loading), current.active.set(loading)
        self._started = self._runtime.clock.monotonic()
        try:
            yield
        except BaseException as error:
            self._report(error)
            raise
        else:
            self._report(None)
        finally:
            # A coroutine may be closed in another context than it ran in; and CPython 3.11 loses
            # a variable that a finalizer uses while it is being set.
            with suppress(ValueError, LookupError):
                current.active.reset(active)
            with suppress(ValueError, LookupError):
                current.scope.reset(scope)

    def _report(self, error: BaseException | None) -> None:
        self.ended = self._runtime.clock.monotonic()
        self.seconds = self.ended - self._started
        call, hooks = self._operation.call, self._runtime.hooks
        plan, call.load_seconds = call.plan, self.seconds
        plan.tally.load(self.seconds, failed=error is not None)
        if error is not None:
            hooks.send(LoadFailed(plan.use_case, self.seconds, error))
        elif hooks.wanted(LoadedEvent):
            hooks.send(LoadedEvent(plan.use_case, self.seconds))


def _load(runtime: Runtime, operation: Load) -> Loaded:
    call, timing = operation.call, _Timing(runtime, operation)
    try:
        with timing.measured():
            value = call.target.function(*call.args, **call.kwargs)
    except StopIteration as error:
        raise _Stopped(error) from None
    return Loaded(value, timing.ended, timing.seconds)


async def _aload(runtime: Runtime, operation: Load) -> Loaded:
    call, timing = operation.call, _Timing(runtime, operation)
    with timing.measured():
        value = await call.target.function(*call.args, **call.kwargs)
    return Loaded(value, timing.ended, timing.seconds)


def _wait(flight: Flight, seconds: float) -> FlightOutcome | None:
    gate = allocate_lock()
    gate.acquire()
    if flight.watch(gate.release):
        gate.acquire(timeout=seconds)
    return flight.outcome


async def _await(flight: Flight, seconds: float) -> FlightOutcome | None:
    loop = asyncio.get_running_loop()
    landed: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not landed.done():
            landed.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(settle)
        except RuntimeError:
            pass  # the waiter's loop was closed: nobody is left to wake

    if flight.watch(wake):
        await asyncio.wait({landed}, timeout=seconds)
    return flight.outcome
