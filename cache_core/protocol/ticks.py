"""What the tasks of an event loop ask the store for in one tick goes there in one round trip.

Thirty tasks that read thirty entities cost one command in place of thirty. Safe by the protocol: a
version may be read any time between the beginning of its request and that of the load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from cache_core.layers.base import Fetch, Fetched

if TYPE_CHECKING:
    from cache_core.layers.base import RemoteLayer

MOST = 500
"""Most keys in one round trip; more would hold up everybody else at the store."""


class _Asked(NamedTuple):
    """One task's question and where its answer goes."""

    question: Fetch
    answer: asyncio.Future[Fetched]


class Ticks:
    """The questions that wait for the end of a tick, by event loop.

    Args:
        remote: Whom they go to.
    """

    def __init__(self, remote: RemoteLayer) -> None:
        self._remote = remote
        self._waiting: dict[asyncio.AbstractEventLoop, list[_Asked]] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # a loop holds its tasks weakly

    async def fetch(self, question: Fetch) -> Fetched:
        """The answer to *question*; raises as ``RemoteLayer.aperform``."""
        loop = asyncio.get_running_loop()
        waiting = self._waiting.get(loop)
        if waiting is not None:
            mine = _Asked(question, loop.create_future())
            waiting.append(mine)
            return await mine.answer
        waiting = self._waiting[loop] = []
        try:
            await asyncio.sleep(0)
        except BaseException:
            self._send(self._waiting.pop(loop))
            raise
        del self._waiting[loop]
        if not waiting:
            # As nearly always: no task of its own for one question.
            return cast("Fetched", await self._remote.aperform(question))
        mine = _Asked(question, loop.create_future())
        self._send([mine, *waiting])
        return await mine.answer

    def _send(self, waiting: Sequence[_Asked]) -> None:
        # In tasks of their own, so that whoever is cancelled takes nobody else along.
        for batch in _batches(waiting):
            task = asyncio.get_running_loop().create_task(self._ask(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _ask(self, batch: Sequence[_Asked]) -> None:
        question = _merged([asked.question for asked in batch])
        try:
            fetched = cast("Fetched", await self._remote.aperform(question))
        except BaseException as error:
            _tell(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            versions = dict(zip(question.things, fetched.versions))
            entries = dict(zip(question.entries, fetched.entries))
            for asked in batch:
                if not asked.answer.done():
                    asked.answer.set_result(
                        fetched._replace(
                            versions=tuple([versions[t] for t in asked.question.things]),
                            entries=tuple([entries[e] for e in asked.question.entries]),
                        )
                    )


def _tell(batch: Sequence[_Asked], error: BaseException) -> None:
    for asked in batch:
        if not asked.answer.done():
            if isinstance(error, Exception):
                asked.answer.set_exception(error)
            else:
                asked.answer.cancel()


def _batches(waiting: Sequence[_Asked]) -> Iterator[list[_Asked]]:
    """*waiting* in parts that are not too large for one round trip."""
    batch: list[_Asked] = []
    keys = 0
    for asked in waiting:
        size = len(asked.question.things) + len(asked.question.entries)
        if batch and keys + size > MOST:
            yield batch
            batch, keys = [], 0
        batch.append(asked)
        keys += size
    if batch:
        yield batch


def _merged(questions: Sequence[Fetch]) -> Fetch:
    """One question that holds all of *questions*, each key once."""
    things = dict.fromkeys([thing for question in questions for thing in question.things])
    entries = dict.fromkeys([entry for question in questions for entry in question.entries])
    return Fetch(
        tuple(things),
        tuple(entries),
        any(question.pulse for question in questions),
        any(question.time for question in questions),
    )
