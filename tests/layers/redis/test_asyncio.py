"""Connections of event loops: how they are shared, lost, replaced and closed."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest

from cache_core.errors import RemoteError
from cache_core.layers.base import Create, Fetch, Store
from tests.integration.row import GENEROUS

THING = "{user_id:42}"
FETCH = Fetch((THING,))


async def connection_id(layer):
    replies, _ = await (await layer._loops.get()).execute([("CLIENT", "ID")], 1)
    return replies[0]


def test_one_connection_serves_one_task(layer):
    """Operations one after the other use the same connection."""

    async def main():
        assert await connection_id(layer) == await connection_id(layer)

    asyncio.run(main())


def test_two_hundred_tasks_share_ten_connections(redis_server, make_layer, connected):
    """Tasks wait for a connection rather than fail, and each gets its own answer."""
    redis_server.flush()
    before = connected(redis_server)
    layer = make_layer(redis_server.url, max_connections=10, connect_timeout=5)

    async def echo(number):
        data = str(number).encode()
        await layer.aperform(Store(f"entry-{number}", data, 60_000))
        fetched = await layer.aperform(Fetch((THING,), (f"entry-{number}",)))
        return fetched.entries == (data,)

    async def main():
        assert all(await asyncio.gather(*map(echo, range(200))))
        assert connected(redis_server) - before == 10

    asyncio.run(main())


def test_two_hundred_tasks_need_no_settings(layer):
    """The defaults serve 200 tasks that ask at once."""

    async def main():
        answers = await asyncio.gather(*(layer.aperform(FETCH) for _ in range(200)))
        assert len(answers) == 200

    asyncio.run(main())


def test_each_loop_has_its_own_connections(layer, redis_server, connected, wait_until):
    """Loops one after the other work, and leave no connection behind when they end."""
    before = connected(redis_server)
    for _ in range(3):
        asyncio.run(layer.aperform(FETCH))
    wait_until(lambda: connected(redis_server) == before)
    assert layer._loops._kept == {}


def test_loops_in_threads_do_not_meet(layer):
    """Several loops at the same time each read what they wrote."""
    wrong = []

    async def talk(name):
        for turn in range(30):
            data = f"{name}-{turn}".encode()
            await layer.aperform(Store(name, data, 60_000))
            if (await layer.aperform(Fetch((), (name,)))).entries != (data,):
                wrong.append(data)

    threads = [
        threading.Thread(target=lambda n=n: asyncio.run(talk(f"loop-{n}"))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_loop_that_was_just_closed_is_forgotten(layer):
    """Even a loop that ends without its clean-up does not stay in memory."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(layer.aperform(FETCH))
    loop.run_until_complete(layer._loops._kept[loop].executor.aclose())
    loop.close()
    asyncio.run(layer.aperform(FETCH))
    assert loop not in layer._loops._kept


def test_aclose_closes_and_the_next_operation_opens(layer, redis_server, connected, wait_until):
    """A closed layer has no connection on this loop; it can be used again."""
    before = connected(redis_server)

    async def main():
        await layer.aperform(FETCH)
        assert connected(redis_server) == before + 1
        await layer.aclose()
        wait_until(lambda: connected(redis_server) == before)
        await layer.aperform(FETCH)

    asyncio.run(main())


def test_aclose_during_an_operation_closes_after_it(layer, redis_server, connected, wait_until):
    """An operation that is under way at aclose still succeeds; then its connection goes, too."""
    before = connected(redis_server)

    async def main():
        await layer.aperform(FETCH)
        running = asyncio.create_task(layer.aperform(FETCH))
        await asyncio.sleep(0)
        await layer.aclose()
        await running
        wait_until(lambda: connected(redis_server) == before)

    asyncio.run(main())


def test_a_restart_on_a_living_loop_fails_nothing(private_redis, make_layer):
    """Connections that the server closed while they were idle are replaced on the way."""
    server = private_redis()
    layer = make_layer(server.url)

    async def main():
        for _ in range(3):
            assert await layer.aperform(Create((THING,), 60_000))
            await asyncio.to_thread(server.restart)

    asyncio.run(main())


def test_a_hung_server_is_given_up_and_its_late_reply_ignored(private_redis, make_layer):
    """The warm path times out as well, and what comes later answers no other question."""
    server = private_redis()
    layer = make_layer(server.url)

    async def main():
        for name in ("one", "two"):
            await layer.aperform(Store(name, name.encode(), 60_000))
        server.pause()
        started = time.monotonic()
        with pytest.raises(RemoteError, match=r"no answer within 0\.1 s"):
            await layer.aperform(Fetch((), ("one",)))
        assert time.monotonic() - started < GENEROUS
        server.resume()
        for _ in range(3):
            assert (await layer.aperform(Fetch((), ("two",)))).entries == (b"two",)
        await asyncio.to_thread(server.restart)
        await layer.aperform(FETCH)  # the timeout of then does not count against this connection

    asyncio.run(main())


def test_a_cancelled_operation_leaves_no_reply_behind(private_redis, make_layer):
    """After a cancellation in mid-air the next operation gets its own answer."""
    server = private_redis()
    layer = make_layer(server.url, read_timeout=5)

    async def main():
        for name in ("one", "two"):
            await layer.aperform(Store(name, name.encode(), 60_000))
        server.pause()
        task = asyncio.create_task(layer.aperform(Fetch((), ("one",))))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.resume()
        assert (await layer.aperform(Fetch((), ("two",)))).entries == (b"two",)

    asyncio.run(main())


def test_a_reply_that_is_there_counts_although_the_loop_was_late(layer):
    """A loop that was blocked for longer than the timeout does not blame Redis for it."""

    async def main():
        await layer.aperform(FETCH)
        first = await connection_id(layer)
        task = asyncio.create_task(layer.aperform(FETCH))
        await asyncio.sleep(0)
        time.sleep(0.15)  # noqa: ASYNC251 - blocks the loop on purpose
        await task
        assert await connection_id(layer) == first

    asyncio.run(main())


def test_who_gets_no_connection_in_time_is_told_so(private_redis, make_layer):
    """With every connection in use for connect_timeout an operation fails, and says why."""
    server = private_redis()
    layer = make_layer(server.url, max_connections=1, connect_timeout=0.02, read_timeout=5)

    async def main():
        await layer.aperform(FETCH)
        server.pause()
        first = asyncio.create_task(layer.aperform(FETCH))
        await asyncio.sleep(0)
        with pytest.raises(RemoteError, match="max_connections"):
            await layer.aperform(FETCH)
        server.resume()
        await first

    asyncio.run(main())


def test_who_stops_waiting_hands_the_connection_on(redis_server, make_layer):
    """A waiter that is cancelled just as it gets a connection gives it to the next one."""
    layer = make_layer(redis_server.url, max_connections=1, connect_timeout=5)

    async def main():
        connections = await layer._loops.get()
        line = connections._lines.pop()
        waiter = asyncio.create_task(layer.aperform(FETCH))
        await asyncio.sleep(0)
        connections._give(line)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await layer.aperform(FETCH)

    asyncio.run(main())


def test_nothing_is_left_to_warn_about(layer):
    """A loop that ends leaves no unclosed socket for the garbage collector."""
    asyncio.run(layer.aperform(FETCH))
    gc.collect()  # an unclosed transport would warn here, and warnings are errors
