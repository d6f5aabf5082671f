"""What a Redis says of its memory: whether, and what, it would evict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.layers.redis.layer import RedisLayer

if TYPE_CHECKING:
    from cache_core.layers.base import RemoteLayer
    from cache_core.layers.redis.commands import Command

_INFO: Command = ("INFO", "memory")


class Memory(NamedTuple):
    """The memory of one Redis server.

    Args:
        policy: What it evicts when its memory is full, as ``"allkeys-lru"``; empty where untold.
        limit: The most bytes that it takes; 0 for no limit.
        used: The bytes that it takes now.
    """

    policy: str
    limit: int
    used: int


def memory_of(remote: RemoteLayer) -> Memory | None:
    """What the server behind *remote* says; None where it is no single Redis, or may not be asked.

    Args:
        remote: A remote layer, as a runtime has it.

    Raises:
        Exception: The server failed, or was late.
    """
    layer = getattr(remote, "layer", remote)
    if not isinstance(layer, RedisLayer):
        return None
    executor = layer._threads.get()  # noqa: SLF001 - of one subject
    if executor.per_key:
        return None
    replies, _ = executor.execute([_INFO], layer.read_timeout)
    reply = replies[0]
    if isinstance(reply, Exception):
        return None
    limit, used = _field(reply, "maxmemory"), _field(reply, "used_memory")
    return Memory(_field(reply, "maxmemory_policy"), int(limit or 0), int(used or 0))


def _field(reply: Any, name: str) -> str:
    """A line of ``INFO``, as Redis sends it or as redis-py's clients parse it."""
    if isinstance(reply, dict):
        return str(reply.get(name, ""))
    found = re.search(rf"^{name}:(\S*)", reply.decode("latin-1"), re.MULTILINE)
    return found[1] if found else ""
