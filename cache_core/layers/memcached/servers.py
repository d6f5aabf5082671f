"""Several memcached servers as one: each key lives on one of them, and nowhere else.

Which one depends on the key and on the list of servers, never on who answers. A server that is down
takes its keys along; were others to stand in for it, it would come back with versions from before
invalidations that went to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from zlib import crc32

from pymemcache.exceptions import MemcacheServerError, MemcacheUnexpectedCloseError

from cache_core.errors import RemoteError
from cache_core.layers.memcached.connections import Connection, Deadline, Found, Pool
from cache_core.layers.memcached.options import MemcachedOptions

_BATCH = 500
"""Most keys that one command names."""


class Servers:
    """Commands for keys, whichever servers these are on.

    Args:
        options: Where the servers are.
    """

    def __init__(self, options: MemcachedOptions) -> None:
        self._pools = [Pool(server, options) for server in options.servers]

    def gets(self, keys: Iterable[bytes], deadline: Deadline) -> dict[bytes, Found]:
        """What stands under *keys*; keys without a value are left out."""
        found: dict[bytes, Found] = {}
        for pool, group in self._by_pool(keys).items():
            for start in range(0, len(group), _BATCH):
                with pool.connection(deadline) as connection:
                    found.update(connection.read(group[start : start + _BATCH]))
        return found

    def write(self, commands: Mapping[bytes, bytes], deadline: Deadline) -> dict[bytes, bytes]:
        """Sends storage commands, one for each key; returns the answers.

        Those for one server leave in one piece and are carried out in their order.
        """
        answers: dict[bytes, bytes] = {}
        for pool, group in self._by_pool(commands).items():
            with pool.connection(deadline) as connection:
                lines = connection.write([commands[key] for key in group])
            answers.update(zip(group, lines))
        return answers

    def times(self, keys: Iterable[bytes], deadline: Deadline) -> dict[bytes, int]:
        """For each of *keys* the time of its server in whole seconds since 1970."""
        times: dict[bytes, int] = {}
        for pool, group in self._by_pool(keys).items():
            times.update(dict.fromkeys(group, _time_of(pool, deadline)))
        return times

    def time(self, deadline: Deadline) -> int:
        """Whole seconds since 1970, on the clock of the server that is furthest behind."""
        return min([_time_of(pool, deadline) for pool in self._pools])

    def refusal(self, canary: bytes, keys: Iterable[bytes], deadline: Deadline) -> str | None:
        """Why a server takes no writes; None when all do.

        A server that is down, and has none of *keys*, is passed over: whoever needs it finds out,
        and the others go on.

        Args:
            canary: The command that tries it.
            keys: What is read now.
            deadline: When it has to be known.

        Raises:
            RemoteError: A server of *keys* is down, or all of them are.
        """
        needed = self._by_pool(keys)
        down: list[RemoteError] = []
        for pool in sorted(self._pools, key=lambda pool: pool not in needed):
            try:
                with pool.connection(deadline) as connection:
                    refusal = _refusal_of(connection, canary)
            except RemoteError as error:
                down.append(error)
                if pool in needed or len(down) == len(self._pools):
                    raise
            else:
                if refusal is not None:
                    return f"{pool.name}: {refusal}"
        return None

    def close(self) -> None:
        """Closes all connections."""
        for pool in self._pools:
            pool.close()

    def _by_pool(self, keys: Iterable[bytes]) -> dict[Pool, list[bytes]]:
        groups: dict[Pool, list[bytes]] = {}
        for key in keys:
            groups.setdefault(self._pools[crc32(key) % len(self._pools)], []).append(key)
        return groups


def _time_of(pool: Pool, deadline: Deadline) -> int:
    with pool.connection(deadline) as connection:
        return connection.time()


def _refusal_of(connection: Connection, canary: bytes) -> str | None:
    try:
        connection.write([canary])
    except MemcacheUnexpectedCloseError:
        raise
    except MemcacheServerError as error:
        return str(error.args[0].decode("latin-1"))
    return None
