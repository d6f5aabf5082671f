"""A cache and its use cases, declared once for threads and for asyncio.

Everything here is written as coroutines. In the spelling for threads they never really wait, so they
can be run to their end at once.
"""

from __future__ import annotations

import asyncio
import inspect
import threading

SECRET = "only for tests with several processes"


def finish(coroutine):
    """The result of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError("a site for threads must not wait")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def finish(self, coroutine):
        """The result of a coroutine; the calling thread waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self):
        """Ends the loop."""
        self.finish(self.loop.shutdown_asyncgens())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Site:
    """A cache, and functions that are cached in it.

    Args:
        cache: The cache, or what has its methods.
        is_async: Whether functions are coroutine functions.

    Attributes:
        functions: The cached functions by the names of their use cases.
    """

    def __init__(self, cache, *, is_async):
        self.cache = cache
        self.is_async = is_async
        self.functions = {}

    def declare(self, name, load, **options):
        """Caches the coroutine function *load*, of one argument *row*, as the use case *name*."""
        if self.is_async:

            async def get(row):
                return await load(row)

        else:

            def get(row):
                return finish(load(row))

        self.functions[name] = self.cache.cached(use_case=name, **options)(get)

    async def call(self, name, row):
        """What the function of the use case *name* returns."""
        return await self.awaited(self.functions[name](row))

    async def do(self, owner, method, *args, **kwargs):
        """Calls a method in the spelling of this site, ``method`` or ``amethod``."""
        method = getattr(owner, f"a{method}" if self.is_async else method)
        return await self.awaited(method(*args, **kwargs))

    async def awaited(self, result):
        return await result if inspect.isawaitable(result) else result

    async def close(self):
        """Closes the cache."""
        await self.do(self.cache, "close")
