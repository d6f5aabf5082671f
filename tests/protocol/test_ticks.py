"""Many tasks of one tick, one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cache_core import Cache
from cache_core.errors import RemoteError
from cache_core.layers.base import Fetch, Fetched, Pulse
from cache_core.protocol.ticks import MOST, Ticks
from cache_core.testing import FakeStore
from tests.protocol.test_read import Make
from tests.protocol.worlds import fetches, kinds

THIRTY = range(30)


class Remote:
    """A store that answers each key with itself.

    Attributes:
        asked: Every question that arrived.
        error: What it raises instead of an answer.
        gate: What it waits for before it answers, None for nothing.
    """

    def __init__(self) -> None:
        self.asked: list[Fetch] = []
        self.error: BaseException | None = None
        self.gate: asyncio.Event | None = None

    async def aperform(self, question: Fetch) -> Fetched:
        """Answers *question*."""
        self.asked.append(question)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        entries = tuple([key.encode() for key in question.entries])
        pulse = Pulse("epoch") if question.pulse else None
        return Fetched(question.things, entries, 5 if question.time else None, pulse)


def play(scene: Callable[[Remote, Ticks], Awaitable[None]], remote: Remote | None = None) -> Remote:
    """Plays *scene* on an event loop; returns the store that was asked."""
    remote = remote or Remote()
    asyncio.run(_play(scene, remote))
    return remote


async def _play(scene: Callable[[Remote, Ticks], Awaitable[None]], remote: Remote) -> None:
    ticks: Any = Ticks(remote)  # type: ignore[arg-type]  # it needs no more than aperform
    await scene(remote, ticks)
    assert ticks._waiting == {}
    while ticks._tasks:
        await asyncio.sleep(0)


async def _settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


# -- one round trip --------------------------------------------------------------------------------


def test_tasks_of_one_tick_ask_together() -> None:
    """Each key is asked for once, and each task gets what it asked for, in its own order."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        questions = [
            Fetch(("a", "b"), ("x",)),
            Fetch(("c", "a")),
            Fetch((), ("y", "x")),
        ]
        answers = await asyncio.gather(*map(ticks.fetch, questions))
        assert [(answer.versions, answer.entries) for answer in answers] == [
            (("a", "b"), (b"x",)),
            (("c", "a"), ()),
            ((), (b"y", b"x")),
        ]

    assert play(scene).asked == [Fetch(("a", "b", "c"), ("x", "y"))]


def test_one_task_asks_by_itself() -> None:
    """A question that nobody shares goes out as it is, in the task that asked."""
    seen = []

    class Watched(Remote):
        async def aperform(self, question: Fetch) -> Fetched:
            seen.append(asyncio.current_task())
            return await super().aperform(question)

    async def scene(remote: Remote, ticks: Ticks) -> None:
        question = Fetch(("a",), ("x",), pulse=True)
        await ticks.fetch(question)
        assert remote.asked[0] is question
        assert seen == [asyncio.current_task()]

    play(scene, Watched())


def test_ticks_follow_each_other() -> None:
    """What is asked after a tick goes into the next one."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        for _ in range(2):
            await asyncio.gather(ticks.fetch(Fetch(("a",))), ticks.fetch(Fetch(("b",))))

    assert play(scene).asked == [Fetch(("a", "b"))] * 2


def test_a_late_task_does_not_wait_for_an_answer_on_its_way() -> None:
    """A version that was asked for earlier may be older than the late task allows."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        remote.gate = asyncio.Event()
        early = [asyncio.ensure_future(ticks.fetch(Fetch(("a",)))) for _ in range(2)]
        await _settle()
        late = asyncio.ensure_future(ticks.fetch(Fetch(("a",))))
        await _settle()
        remote.gate.set()
        await asyncio.gather(*early, late)

    assert play(scene).asked == [Fetch(("a",))] * 2


def test_pulse_and_time_are_asked_for_all() -> None:
    """If one of them wants it, everybody hears it."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        questions = [Fetch(("a",)), Fetch(("b",), pulse=True), Fetch(("c",), time=True)]
        answers = await asyncio.gather(*map(ticks.fetch, questions))
        assert [answer.pulse for answer in answers] == [Pulse("epoch")] * 3
        assert [answer.time_ms for answer in answers] == [5] * 3

    assert play(scene).asked == [Fetch(("a", "b", "c"), (), pulse=True, time=True)]


def test_no_round_trip_is_too_large() -> None:
    """Beyond so many keys another one goes out at the same time."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        size = MOST // 2
        questions = [Fetch(tuple([f"{part}:{number}" for number in range(size)])) for part in "abc"]
        answers = await asyncio.gather(*map(ticks.fetch, questions))
        assert [answer.versions for answer in answers] == [one.things for one in questions]

    assert [len(question.things) for question in play(scene).asked] == [MOST, MOST // 2]


def test_one_large_question_is_not_cut() -> None:
    """What a call asks for together comes together."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        large = Fetch(tuple([str(number) for number in range(2 * MOST)]))
        await asyncio.gather(ticks.fetch(large), ticks.fetch(Fetch(("a",))))

    assert [len(question.things) for question in play(scene).asked] == [2 * MOST, 1]


def test_loops_of_two_threads_do_not_mix() -> None:
    """Each loop has ticks of its own."""
    remote = Remote()
    ticks = Ticks(remote)  # type: ignore[arg-type]  # as above

    async def main(name: str) -> list[Fetched]:
        return await asyncio.gather(*[ticks.fetch(Fetch((name,))) for _ in range(20)])

    with ThreadPoolExecutor(2) as pool:
        for name, answers in zip("ab", pool.map(lambda name: asyncio.run(main(name)), "ab")):
            assert {answer.versions for answer in answers} == {(name,)}
    assert sorted(question.things for question in remote.asked) == [("a",), ("b",)]


# -- cancellation ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_whoever_is_cancelled_takes_nobody_along(cancelled: int) -> None:
    """The first one, who waits for the tick to end, and any other."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        tasks = [asyncio.ensure_future(ticks.fetch(Fetch((name,)))) for name in "abc"]
        await asyncio.sleep(0)
        tasks[cancelled].cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers.pop(cancelled), asyncio.CancelledError)
        names = [name for name in "abc" if name != "abc"[cancelled]]
        assert [answer.versions for answer in answers] == [(name,) for name in names]  # type: ignore[union-attr]

    assert len(play(scene).asked) == 1


def test_a_cancelled_task_alone_asks_nothing() -> None:
    """Nobody is left who wants to know."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        task = asyncio.ensure_future(ticks.fetch(Fetch(("a",))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert play(scene).asked == []


def test_cancelling_while_the_answer_is_on_its_way_harms_nobody() -> None:
    """The one that is cancelled has gone; the others get theirs."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        remote.gate = asyncio.Event()
        tasks = [asyncio.ensure_future(ticks.fetch(Fetch((name,)))) for name in "abc"]
        await _settle()
        tasks[0].cancel()
        await _settle()
        remote.gate.set()
        answers = await asyncio.gather(*tasks[1:])
        assert [answer.versions for answer in answers] == [("b",), ("c",)]
        assert tasks[0].cancelled()

    play(scene)


def test_the_end_of_a_loop_leaves_nobody_waiting() -> None:
    """When the task that asks for all is cancelled, so are those who wait for it."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        remote.gate = asyncio.Event()
        tasks = [asyncio.ensure_future(ticks.fetch(Fetch((name,)))) for name in "ab"]
        await _settle()
        (asking,) = ticks._tasks
        asking.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, asyncio.CancelledError) for answer in answers)

    play(scene)


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
def test_everybody_hears_of_a_failure(number: int) -> None:
    """Each task gets the store's error, and none waits for ever."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        remote.error = RemoteError("down")
        tasks = [ticks.fetch(Fetch((str(n),))) for n in range(number)]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert answers == [remote.error] * number

    play(scene)


def test_a_failure_does_not_last() -> None:
    """The next tick asks again."""

    async def scene(remote: Remote, ticks: Ticks) -> None:
        remote.error = RemoteError("down")
        with pytest.raises(RemoteError):
            await ticks.fetch(Fetch(("a",)))
        remote.error = None
        answers = await asyncio.gather(ticks.fetch(Fetch(("a",))), ticks.fetch(Fetch(("b",))))
        assert [answer.versions for answer in answers] == [("a",), ("b",)]

    play(scene)


# -- through a cache -------------------------------------------------------------------------------


class Rows:
    """An async cached read of many rows."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.reads = 0

        @cache.cached(key_type="row", id_arg="id", use_case="GetRow", ttl=300)
        async def get(id: int) -> int:
            self.reads += 1
            return id

        self.get = get

    async def all(self) -> list[int]:
        """Thirty tasks, each of which reads a row."""
        with self.cache.enable():
            return await asyncio.gather(*map(self.get, THIRTY))


def test_thirty_tasks_are_one_round_trip(make_cache: Make, store: FakeStore) -> None:
    """What is in the store, or at hand and valid, costs one for all of them."""
    asyncio.run(Rows(make_cache()).all())
    rows = Rows(make_cache())
    for _ in range(2):
        store.log.clear()
        assert asyncio.run(rows.all()) == list(THIRTY)
        assert kinds(store.log) == ["Fetch"]
    assert rows.reads == 0


def test_thirty_requests_of_one_tick_are_one_round_trip(make_cache: Make, store: FakeStore) -> None:
    """Requests that begin in the same tick share it, too; each has a memo of its own."""
    asyncio.run(Rows(make_cache()).all())
    rows = Rows(make_cache())

    async def request(number: int) -> int:
        with rows.cache.scope():
            return await rows.get(number)

    async def main() -> list[int]:
        return await asyncio.gather(*map(request, THIRTY))

    store.log.clear()
    assert asyncio.run(main()) == list(THIRTY)
    assert fetches(store) == 1


def test_thirty_tasks_without_a_store_all_get_their_values(
    make_cache: Make, store: FakeStore
) -> None:
    """A failed round trip fails nobody."""
    rows = Rows(make_cache())
    store.down = True
    assert asyncio.run(rows.all()) == list(THIRTY)
    assert rows.reads == 30


def test_a_cancelled_request_fails_nobody(make_cache: Make, store: FakeStore) -> None:
    """The first of thirty tasks is cancelled before its question is out."""
    asyncio.run(Rows(make_cache()).all())
    rows = Rows(make_cache())

    async def main() -> None:
        with rows.cache.enable():
            tasks = [asyncio.ensure_future(rows.get(number)) for number in THIRTY]
            await asyncio.sleep(0)
            tasks[0].cancel()
            values = await asyncio.gather(*tasks[1:])
            assert values == list(THIRTY)[1:]
            assert await rows.get(0) == 0

    asyncio.run(main())
    assert rows.reads == 0
