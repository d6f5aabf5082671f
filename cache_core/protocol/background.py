"""Loads that go on beside their callers: in a few threads, or in tasks of the caller's event loop.

The threads are daemons, so a loader that hangs never keeps the interpreter from ending; this is what
``concurrent.futures`` would do. A thread ends when there was nothing to do for a while.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any

from cache_core.events import logger

IDLE_SECONDS = 10.0
"""After so long without work a thread ends."""

Work = Callable[[], object]
Task = Coroutine[Any, Any, object]
Around = Callable[[Work], object]
"""Calls what it is given in the surroundings that loaders need, and cleans up after it."""
AsyncAround = Callable[[Task], Task]
"""Awaits what it is given in such surroundings, as a task of its own."""


class Surroundings:
    """What an adapter puts around each load that goes on beside its caller.

    Attributes:
        around: That of loads in a thread of their own; by default nothing.
        aaround: That of loads in a task of their own; by default nothing.
    """

    def __init__(self) -> None:
        self.around: Around = _nothing_around
        self.aaround: AsyncAround = _nothing_around_task


def _nothing_around(work: Work) -> object:
    return work()


def _nothing_around_task(task: Task) -> Task:
    return task


class _Job:
    """One piece of work, which may be dropped before it has begun.

    Args:
        dropped: What to do then; None for nothing.

    Attributes:
        at_hand: Coroutines that nobody awaits then.
    """

    def __init__(self, dropped: Work | None) -> None:
        self.at_hand: tuple[Task, ...] = ()
        self._dropped = dropped
        self._is_begun = False

    def do(self, work: Work) -> object:
        """Begins and does *work*."""
        self._is_begun = True
        return work()

    async def ado(self, work: Task) -> None:
        """Begins and does *work*."""
        self._is_begun = True
        await work

    def end(self) -> None:
        """To be called when nobody is going to begin it any more."""
        if not self._is_begun:
            self.close()
            if self._dropped is not None:
                self._dropped()

    def close(self) -> None:
        """Python would complain of coroutines that were never awaited."""
        for coroutine in self.at_hand:
            coroutine.close()


class Background:
    """The loads of one runtime that nobody waits for to the end.

    Args:
        limit: The most of them at a time; 0 for none at all.
        surroundings: What an adapter puts around each one.
    """

    def __init__(self, limit: int, surroundings: Surroundings) -> None:
        self._limit = limit
        self._surroundings = surroundings
        self._start()

    def _start(self) -> None:
        # Reentrant: a finalizer that runs under it may call a cached function.
        self._lock = threading.RLock()
        self._work: queue.SimpleQueue[tuple[Work, _Job]] = queue.SimpleQueue()
        self._idle = self._threads = 0
        self._tasks: dict[asyncio.Task[Any], _Job] = {}

    @property
    def running(self) -> int:
        """How many go on now."""
        return self._threads - self._idle + len(self._tasks)

    def submit(self, work: Work, dropped: Work | None = None) -> bool:
        """Has a thread do *work*, with the context variables of the caller; whether one does.

        What *work* raises is its own affair and is dropped.

        Args:
            work: What to do.
            dropped: Called when it is never begun; None for nothing.
        """
        job, context = _Job(dropped), copy_context()
        around, begun = self._surroundings.around, partial(job.do, work)
        with self._lock:
            if self.running >= self._limit:
                return False
            if self._idle > 0:
                self._idle -= 1
            elif not self._begin_thread():
                return False
        self._work.put((partial(context.run, around, begun), job))
        return True

    def start(self, coroutine: Task, dropped: Work | None = None) -> bool:
        """Runs *coroutine* as a task of the running event loop; as ``submit``."""
        job = _Job(dropped)
        begun = job.ado(coroutine)
        job.at_hand = (begun, coroutine)
        with self._lock:
            self._forget_closed_loops()
            if self.running >= self._limit:
                job.close()
                return False
            # The loop holds its tasks weakly.
            loop, around = asyncio.get_running_loop(), self._surroundings.aaround
            task = loop.create_task(around(begun))
            self._tasks[task] = job
        task.add_done_callback(self._ended)
        return True

    def after_fork(self) -> None:
        """The threads do not exist in a child process, nor does their work."""
        self._start()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        with self._lock:
            job = self._tasks.pop(task, None)
        if job is not None:
            job.end()
        if not task.cancelled():
            task.exception()  # asked for, or it would be reported as forgotten

    def _forget_closed_loops(self) -> None:
        """Their tasks never end, and would take the places of others."""
        for task in list(self._tasks):
            if task.get_loop().is_closed():
                self._tasks.pop(task).end()

    def _begin_thread(self) -> bool:
        thread = threading.Thread(target=self._serve, name="cache_core-load", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            return False
        self._threads += 1
        return True

    def _serve(self) -> None:
        lock, work = self._lock, self._work
        while True:
            try:
                begin, job = work.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with lock:
                    if self._idle > 0:
                        self._idle -= 1
                        self._threads -= 1
                        return
                continue  # somebody counts on this thread: its work is on the way
            try:
                begin()
            except BaseException:  # noqa: BLE001 - counted and told of where it happened
                logger.debug("A load in the background failed", exc_info=True)
            job.end()
            del begin, job
            with lock:
                self._idle += 1
