"""The remote layer over memcached.

Nothing is opened before the first operation. Each process has connections of its own, also after a
fork. pymemcache blocks, so asyncio has each operation carried out by a thread of a few that serve
nothing else: one way to speak to memcached, with one deadline, for both.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING

from cache_core.errors import MissingExtra, RemoteError
from cache_core.layers.base import Fetch, RemoteOperation, RemoteResult

if TYPE_CHECKING:
    from cache_core.layers.memcached.operations import Operations
    from cache_core.layers.memcached.options import MemcachedOptions
    from cache_core.layers.memcached.servers import Servers


class MemcachedLayer:
    """Entries and versions in memcached, shared between processes.

    Args:
        options: How to reach memcached.
        namespace: What every key of ours begins with.

    Attributes:
        read_timeout, write_timeout: Seconds that a ``Fetch`` and any other operation may take.

    Raises:
        MissingExtra: The package ``pymemcache`` is not installed.
    """

    def __init__(self, options: MemcachedOptions, *, namespace: str) -> None:
        if find_spec("pymemcache") is None:
            raise MissingExtra("The memcached layer", package="pymemcache", extra="memcached")
        self.read_timeout = options.read_timeout
        self.write_timeout = options.write_timeout
        self._options = options
        self._namespace = namespace
        self._processes: dict[int, _Process] = {}

    def perform(self, operation: RemoteOperation) -> RemoteResult:
        """Executes *operation* in this thread.

        Raises:
            RemoteError: memcached failed, refused or was late.
        """
        return self._perform(self._process(), operation)

    async def aperform(self, operation: RemoteOperation) -> RemoteResult:
        """Executes *operation* on the running event loop; raises as ``perform``."""
        loop, timeout = asyncio.get_running_loop(), self._timeout(operation)
        process = self._process()
        try:
            running = loop.run_in_executor(process.executor, self._perform, process, operation)
            # Also a thread may have to be waited for: what is not begun in time never is.
            return await asyncio.wait_for(running, timeout)
        except RemoteError:
            raise
        except asyncio.TimeoutError as error:
            late = TimeoutError(f"no answer within {timeout:g} s")
            raise self._failure(late, operation) from error
        except Exception as error:
            raise self._failure(error, operation) from error

    def describe(self) -> str:
        """Where memcached is, for people."""
        return self._options.describe()

    def close(self) -> None:
        """Closes every connection of this process. The layer opens new ones when used again."""
        process = self._processes.pop(os.getpid(), None)
        if process is not None:
            process.close()

    async def aclose(self) -> None:
        """As ``close``: threads and event loops share the connections of a process."""
        self.close()

    def _perform(self, process: _Process, operation: RemoteOperation) -> RemoteResult:
        from cache_core.layers.memcached.connections import Deadline

        try:
            return process.operations.perform(operation, Deadline(self._timeout(operation)))
        except Exception as error:
            raise self._failure(error, operation) from error

    def _timeout(self, operation: RemoteOperation) -> float:
        reads = isinstance(operation, Fetch)
        return self.read_timeout if reads else self.write_timeout

    def _process(self) -> _Process:
        process = self._processes.get(os.getpid())
        return process if process is not None else self._first()

    def _first(self) -> _Process:
        # No lock, for a thread that does not exist in a child may have held it at the fork. Several
        # threads may get here at once; what the first one made is used.
        pid = os.getpid()
        process = self._processes.setdefault(pid, _Process(self._options, self._namespace))
        for parent in [known for known in tuple(self._processes) if known != pid]:
            forgotten = self._processes.pop(parent, None)
            if forgotten is not None:
                forgotten.close()
        return process

    def _failure(self, error: Exception, operation: RemoteOperation) -> RemoteError:
        name, kind = type(operation).__name__.lower(), type(error).__name__
        text = str(error) or f"a {kind}"
        return RemoteError(f"{name} failed at {self.describe()}: {text}")


class _Process:
    """What one process has opened."""

    def __init__(self, options: MemcachedOptions, namespace: str) -> None:
        # Only here: pymemcache is not needed to read settings.
        from cache_core.layers.memcached.operations import Operations
        from cache_core.layers.memcached.servers import Servers

        self._servers: Servers = Servers(options)
        self.operations: Operations = Operations(namespace, self._servers)
        self.executor = ThreadPoolExecutor(options.max_connections, "cache_core-memcached")

    def close(self) -> None:
        """Closes connections; in a child the copies of the parent's, which themselves go on.

        Who is at work finishes it. Idle threads end when nobody refers to this any more.
        """
        self._servers.close()
