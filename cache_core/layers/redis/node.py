"""Who answers: the role and the epoch of a Redis node (rules E1 to E3).

A Redis gives its data a new random ``master_replid`` whenever they may have gone back: at each start
and at each promotion. Its hash is the epoch that every version is told with, so what was stored
before a failover is not valid after it, even if an invalidation was lost on the way.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from cache_core.errors import RemoteError
from cache_core.events import logger
from cache_core.layers.base import Pulse
from cache_core.layers.redis.commands import Command
from cache_core.layers.redis.options import RedisOptions

INFO: Command = ("INFO", "replication")
HEARTBEAT_COMMANDS = 2
"""How many ``heartbeat_commands`` there are."""

LIFE_MS = 10_000
"""Life of a heartbeat's key in milliseconds: for so long people see that a process lives."""


class Changed(RemoteError):
    """Who answers is not, or no longer, the master that was meant."""


class Node(NamedTuple):
    """What a node says of itself; all empty where it may not be asked.

    Args:
        role: ``"master"``, or what it is instead.
        lineage: Its ``master_replid``.
        epoch: 16 hexadecimal characters (BLAKE2b of the lineage), or empty: versions are told
            without an epoch then.
    """

    role: str
    lineage: str
    epoch: str

    @classmethod
    def read(cls, reply: Any, options: RedisOptions) -> Node:
        """The node that gave *reply* to ``INFO``.

        Raises:
            Exception: It refused for another reason than that it may not be asked.
        """
        if isinstance(reply, Exception) and not _is_forbidden(reply):
            raise reply
        role, lineage = _field(reply, "role"), _field(reply, "master_replid")
        if not lineage:
            _warn(options.describe())
        is_told = lineage and options.on_failover == "flush"
        epoch = blake2b(lineage.encode(), digest_size=8).hexdigest() if is_told else ""
        return cls(role, lineage, epoch)

    @property
    def is_master(self) -> bool:
        """Whether it is a master; a node that may not be asked is taken for one."""
        return self.role in {"master", ""}


NOBODY = Node("", "", "")


class Nodes:
    """What a process knows of who answers it, whichever thread or event loop has asked.

    Args:
        options: How to reach them.

    Attributes:
        master: What the one server said last. A connection on which another one has answered is not
            used again; None means that nobody knows, so that every connection has to ask.
        members: The same for the masters of a Redis Cluster, by name.
    """

    def __init__(self, options: RedisOptions) -> None:
        self.master: Node | None = None
        self.members: dict[str, Node] = {}
        self._options = options
        self._by_address: dict[tuple[str, int], Nodes] = {}

    def at(self, address: tuple[str, int]) -> Nodes:
        """Who answers at the host and port of a node of a Redis Cluster."""
        return self._by_address.setdefault(address, Nodes(self._options))

    def meet(self, reply: Any) -> Node:
        """Notes who gave *reply* to ``INFO``, and returns it.

        Raises:
            Changed: It is a replica: what it holds may be old (rule V5).
        """
        node, known = self.read(reply), self.master
        if not node.is_master:
            self.master = None
            raise Changed(f"the server is no master; its role is {node.role!r}")
        if node == known:
            return known
        self.master = node
        return node

    def read(self, reply: Any) -> Node:
        """The node that gave *reply* to ``INFO``, without a note of it."""
        return Node.read(reply, self._options)


class Anybody(Nodes):
    """Who answers does not matter: a sentinel, or any node that is asked about the others."""

    def meet(self, reply: Any) -> Node:
        """As of ``Nodes``; any role will do."""
        self.master = NOBODY
        return NOBODY


def heartbeat_commands(key: str) -> list[Command]:
    """Asks whether a node takes writes, and who it is (rule H1)."""
    return [("SET", key, "1", "PX", LIFE_MS), INFO]


def pulse_of(beat: Any, epoch: str) -> Pulse:
    """The pulse, from the reply to its ``SET``: a refusal is told, it fails nothing."""
    return Pulse(epoch, str(beat) if isinstance(beat, Exception) else None)


def _field(reply: Any, name: str) -> str:
    """A line of ``INFO``, as Redis sends it or as redis-py's clients parse it."""
    if isinstance(reply, dict):
        return str(reply.get(name, ""))
    text = reply.decode("latin-1") if isinstance(reply, bytes) else ""
    found = re.search(rf"^{name}:(\S*)", text, re.MULTILINE)
    return found[1] if found else ""


# redis-py strips the code of some errors, differently by version; their text stays.
def _is_forbidden(error: Exception) -> bool:
    text = str(error).lower()
    known = ("no permission", "can't run this command", "unknown command")
    return any(part in text for part in known)


@lru_cache(maxsize=64)
def _warn(place: str) -> None:
    logger.warning(
        "%s does not tell its replication id (INFO replication), so a failover that loses an "
        "invalidation is not noticed; let the user of the cache run that command",
        place,
    )
