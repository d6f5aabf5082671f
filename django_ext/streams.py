"""Streamed responses: their bodies are made after the request's scope is closed."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import StreamingHttpResponse

    from cache_core.protocol.scope import Scope
    from django_ext.default import DjangoCache

Held = Callable[[], AbstractContextManager[None]]
"""Makes what a single step is taken in. Nothing stays set between two steps, so it does not matter
who takes them or whether anybody ever takes the last one."""


def carry_on(
    response: StreamingHttpResponse, cache: DjangoCache, scope: Scope, *, enabled: bool
) -> None:
    """Has the body of *response* made with caching on or off, past all that the request remembered.

    Args:
        response: A streamed response.
        cache: The cache that the scope belongs to.
        scope: The scope of the request; it is closed before the body begins.
        enabled: Whether caching is on while the body is made.
    """

    def held() -> AbstractContextManager[None]:
        return cache.after(scope, enabled=enabled)

    body = response.streaming_content
    if isinstance(body, AsyncIterable):
        response.streaming_content = _asteps(body, held)
    else:
        response.streaming_content = _steps(body, held)


def _steps(body: Iterable[bytes], held: Held) -> Iterator[bytes]:
    steps = iter(body)
    while True:
        with held():
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


async def _asteps(body: AsyncIterable[bytes], held: Held) -> AsyncIterator[bytes]:
    steps = body.__aiter__()
    while True:
        with held():
            try:
                step = await steps.__anext__()
            except StopAsyncIteration:
                return
        yield step
