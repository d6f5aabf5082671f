"""Ways of calling a contender, as samples for a race.

The loops are written out for each way: a call through one more function would cost as much as what
is measured. What the loop itself costs, about 10 ns a turn, is in every figure. Each contender gets
a loop of its own: the interpreter adapts a call to the function that it saw there before.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from time import perf_counter
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tests.benchmarks.subject import IDS

if TYPE_CHECKING:
    from tests.benchmarks.peers import Peer
    from tests.benchmarks.timing import Sample


def first_reads(peer: Peer, ids: Sequence[int] = IDS) -> Sample:
    """A request reads each entity once."""
    call, request = peer.call, peer.request

    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            with request():
                for user_id in ids:
                    call(user_id, "en", 2)
        return perf_counter() - started

    return _own(sample)


def keyword_reads(peer: Peer, ids: Sequence[int] = IDS) -> Sample:
    """As ``first_reads``, with arguments given by name."""
    call, request = peer.call, peer.request

    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            with request():
                for user_id in ids:
                    call(user_id, lang="en", page=2)
        return perf_counter() - started

    return _own(sample)


def repeated_reads(peer: Peer, ids: Sequence[int] = IDS) -> Sample:
    """A request reads one entity again and again."""
    call, request, user_id = peer.call, peer.request, ids[0]

    def sample(repeats: int) -> float:
        started = perf_counter()
        with request():
            for _ in range(repeats * len(ids)):
                call(user_id, "en", 2)
        return perf_counter() - started

    return _own(sample)


def repeated_keyword_reads(peer: Peer, ids: Sequence[int] = IDS) -> Sample:
    """As ``repeated_reads``, with arguments given by name."""
    call, request, user_id = peer.call, peer.request, ids[0]

    def sample(repeats: int) -> float:
        started = perf_counter()
        with request():
            for _ in range(repeats * len(ids)):
                call(user_id, lang="en", page=2)
        return perf_counter() - started

    return _own(sample)


def single_reads(peer: Peer) -> Sample:
    """Each request reads one entity: what a request costs is in the figure."""
    call, request, user_id = peer.call, peer.request, IDS[0]

    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            with request():
                call(user_id, "en", 2)
        return perf_counter() - started

    return _own(sample)


def plain_calls(call: Callable[..., object]) -> Sample:
    """Calls outside of any request."""
    user_id = IDS[0]

    def sample(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            call(user_id, "en", 2)
        return perf_counter() - started

    return _own(sample)


def on_loop(
    loop: AbstractEventLoop, peer: Peer, *, ids: Sequence[int] = IDS, times: int = 1
) -> Sample:
    """As ``first_reads``, in one task of *loop*; each entity is read *times* times in a request."""
    call, request = peer.call, peer.request

    async def timed(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            with request():
                for _ in range(times):
                    for user_id in ids:
                        await call(user_id, "en", 2)
        return perf_counter() - started

    timed = _own(timed)
    return lambda repeats: loop.run_until_complete(timed(repeats))


def plain_calls_on_loop(loop: AbstractEventLoop, call: Callable[..., object]) -> Sample:
    """As ``plain_calls``, in one task of *loop*."""
    user_id = IDS[0]

    async def timed(repeats: int) -> float:
        started = perf_counter()
        for _ in range(repeats):
            await call(user_id, "en", 2)  # type: ignore[misc]
        return perf_counter() - started

    timed = _own(timed)
    return lambda repeats: loop.run_until_complete(timed(repeats))


def _own(loop: Any) -> Any:
    """*loop* with code of its own, which the interpreter adapts to nobody else."""
    return FunctionType(loop.__code__.replace(), globals(), closure=loop.__closure__)
