"""A given RedisCluster: which node of a Redis Cluster answers what, and how all of them are.

Clusters without a given client are the matter of ``sharded``. A client of redis-py finds the node of
each key and follows redirections. Beside that, three things are needed: the epoch of the node that
holds a version, a pulse of every node, and what commands without a key (``TIME``, ``WAIT``) say of
all nodes that an operation touches. A node is asked by way of a key that it holds wherever that can
be done: redis-py repeats a command that has failed, and one without a key anywhere.

Commands go to the nodes at the same time, so nothing is said about the order of what happens on two
of them; the protocol does not need it (rule C5). An entry and its lock are on one node.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

from cache_core.layers.base import Pulse
from cache_core.layers.redis.commands import Answers, Command, Replies
from cache_core.layers.redis.node import Nodes, heartbeat_commands, pulse_of

Routed = tuple[Command, Any]
"""A command and the node that it is for; None where its key says it."""

Route = tuple[list[Routed], Callable[[Replies], Answers]]
"""What to send, and what makes answers of the replies."""

_SCRIPTS = {"EVAL", "EVALSHA"}
_KEYLESS = {"PING", "TIME", "WAIT"}
_INFO = "return redis.call('INFO', 'replication')"
_TIME = "local now = redis.call('TIME') return {tonumber(now[1]), tonumber(now[2])}"
_TRIES = 512
"""Keys that are tried to find one on each node; nodes without any slot have none."""


class Cluster:
    """The nodes behind one client.

    Args:
        client: A ``redis.RedisCluster`` or its twin for asyncio, initialized.
        nodes: Who answers.
        keeps: Whether versions are told without an epoch.
    """

    def __init__(self, client: Any, nodes: Nodes, *, keeps: bool) -> None:
        self._client = client
        self._nodes = nodes
        self._met = nodes.members
        self._keeps = keeps

    def route(self, commands: Sequence[Command], heartbeat: str) -> Route:
        """Where *commands* go, and what makes answers of the replies.

        Args:
            commands: Each with one key or none.
            heartbeat: The key to write on each node for a pulse; empty for none.
        """
        keys = [key_of(command) for command in commands]
        owners = [self._client.get_node_from_key(key) if key else None for key in keys]
        homes = {owner.name: (key, owner) for key, owner in zip(keys, owners) if owner}
        beats = self._spread(heartbeat) if heartbeat else {}
        unmet = beats or {name: key for name, (key, _) in homes.items() if name not in self._met}
        parts = [_parts(command, [*homes.values()]) for command in commands]

        def answers(replies: Replies) -> Answers:
            rest = iter(replies)
            for name, key in unmet.items():
                self._meet(name, key, next(rest))
            pulse = [self._pulse(beats, [next(rest) for _ in beats])] if heartbeat else []
            told = [least(rest, len(part)) for part in parts]
            epochs = [self._epoch(key, owner) for key, owner in zip(keys, owners)]
            return [*pulse, *told], [*[""] * len(pulse), *epochs]

        routed: list[Routed] = [(("EVAL", _INFO, 1, key), None) for key in unmet.values()]
        routed += [(heartbeat_commands(key)[0], None) for key in beats.values()]
        return [*routed, *[one for part in parts for one in part]], answers

    def _spread(self, heartbeat: str) -> dict[str, str]:
        """A key on each node of the cluster that has slots, by the node's name."""
        nodes = len(self._client.get_primaries())
        found: dict[str, str] = {}
        for number in range(_TRIES):
            key = f"{heartbeat}:{{{number}}}"
            found.setdefault(self._client.get_node_from_key(key).name, key)
            if len(found) == nodes:
                break
        return found

    def _meet(self, name: str, key: str, reply: Any) -> None:
        """Notes who answered for *key*, if that is who was asked."""
        node = self._nodes.read(reply)
        if node.is_master and self._client.get_node_from_key(key).name == name:
            self._met[name] = node
        else:
            self._met.pop(name, None)

    def _pulse(self, beats: dict[str, str], replies: Replies) -> Pulse:
        together = "".join(sorted([self._met[name].epoch for name in beats if name in self._met]))
        epoch = blake2b(together.encode(), digest_size=8).hexdigest() if together else ""
        refused = [reply for reply in replies if isinstance(reply, Exception)]
        return pulse_of(refused[0] if refused else None, epoch)

    def _epoch(self, key: str, owner: Any) -> str:
        """The epoch of the node that answered for *key*."""
        if not key or self._keeps:
            return ""
        if self._client.get_node_from_key(key).name == owner.name and owner.name in self._met:
            return self._met[owner.name].epoch
        # The key has just moved, perhaps in a failover, and who answered is not known. Nobody else
        # has this epoch, so nothing is valid under it.
        return os.urandom(8).hex()


def key_of(command: Command) -> str:
    """The key of *command*; empty where it has none."""
    if command[0] in _KEYLESS:
        return ""
    return str(command[3 if command[0] in _SCRIPTS else 1])


def _parts(command: Command, homes: Sequence[tuple[str, Any]]) -> list[Routed]:
    """What has to be sent for *command*; *homes* are the nodes that are touched, with a key each."""
    if command[0] == "TIME":
        return [(("EVAL", _TIME, 1, at), None) for at, _ in homes or [("any", None)]]
    if command[0] == "WAIT":
        return [(command, node) for _, node in homes]
    return [(command, None)]


def least(replies: Iterator[Any], count: int) -> Any:
    """What a command says that was sent to several nodes: the least of it, or the first error."""
    some = [next(replies) for _ in range(count)]
    return next((reply for reply in some if isinstance(reply, Exception)), None) or min(some)
