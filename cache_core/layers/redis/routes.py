"""What is sent to which node of a Redis Cluster, and what their replies mean together.

Pure decisions, as a generator: it yields what to send to each node, is sent what came of it, and
returns the answers. Nodes work at the same time, so nothing is said about the order of what happens
on two of them; the protocol does not need it (rule C5). An entry and its lock are on one node.

A node that does not have a key any more says who does. That is followed within the operation, for
``MOVED`` by asking there from now on, for ``ASK`` once, as the slot is still on its way. Each answer
has the epoch of the node that gave it, so what moves is a miss and never an old value.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Union

from redis.exceptions import AskError, MovedError, ResponseError

from cache_core.errors import RemoteError
from cache_core.layers.base import Pulse
from cache_core.layers.redis.cluster import key_of, least
from cache_core.layers.redis.commands import Answers, Command
from cache_core.layers.redis.node import HEARTBEAT_COMMANDS, Nodes, heartbeat_commands
from cache_core.layers.redis.outages import is_outage
from cache_core.layers.redis.slots import Address
from cache_core.layers.redis.topology import Topology, name

Sendings = dict[Address, list[Command]]
Outcome = Mapping[Address, Union[Answers, Exception]]
Talk = Generator[Sendings, Outcome, Answers]

REDIRECTIONS = 2
"""How often a key is looked for elsewhere: a slot that moves may say ``MOVED`` and then ``ASK``."""

_KINDS = {"MOVED": MovedError, "ASK": AskError}
_ASKING: Command = ("ASKING",)
_NO_INDEX = -1

_Part = list[tuple[int, Command]]
"""What one node is sent, each with its place among the commands of the operation."""


class Routes:
    """Leads commands to the nodes of one cluster.

    Args:
        topology: Which node has what, and which is well.
        nodes: Who answers, by address.
    """

    def __init__(self, topology: Topology, nodes: Nodes) -> None:
        self._slots = topology.slots
        self._is_well = topology.is_well
        self._nodes = nodes

    def talk(self, commands: Sequence[Command], heartbeat: str) -> Talk:
        """Leads *commands* to where their keys are.

        Args:
            commands: Each with one key or none; those without one go to every node that is touched.
            heartbeat: What the keys begin with that are written on each node for a pulse, which is
                then the first reply; empty for none.

        Returns:
            The answers. A command whose node failed has a ``RemoteError`` as its reply: the others
            are led on, as an invalidation must get as far as it can.

        Raises:
            RemoteError: There is no pulse, or it is not of the server that the answers are from.
        """
        gathering = _Gathering(commands)
        parts = _parts(commands, self._homes(commands, gathering))
        beats = self._beats(heartbeat, parts) if heartbeat else {}
        outcome = yield _sendings(parts, beats)
        pulse = [self._pulse(beats, outcome, parts)] if heartbeat else []
        outcome = {address: _behind_pulse(outcome[address], address in beats) for address in parts}
        for _ in range(REDIRECTIONS):
            homes = self._take(gathering, parts, outcome)
            if not homes:
                break
            parts = _parts(commands, homes)
            outcome = yield _sendings(parts, {})
        else:
            self._take(gathering, parts, outcome)
        replies, epochs = gathering.answers()
        return [*pulse, *replies], [*[""] * len(pulse), *epochs]

    def _homes(
        self, commands: Sequence[Command], gathering: _Gathering
    ) -> dict[int, tuple[Address, bool]]:
        """The node of each command that has a key, and that it need not be told to try.

        A key that nobody has is refused; the others are sent, as an invalidation must get far.
        """
        homes: dict[int, tuple[Address, bool]] = {}
        keys = [key_of(command) for command in commands]
        for index, key in enumerate(keys):
            owner = self._slots.owner(key) if key else None
            if owner is not None:
                homes[index] = (owner, False)
            elif key:
                self._slots.doubt()
                nobody = RemoteError("no node of the cluster has the slot", is_outage=False)
                gathering.add(index, nobody, "")
        if not homes and not all(keys):
            homes[_NO_INDEX] = (self._slots.someone(self._is_well), False)
        return homes

    def _beats(self, heartbeat: str, parts: Mapping[Address, _Part]) -> dict[Address, str]:
        """The key of each node's heartbeat; who fails is asked only by those who need it."""
        every = self._slots.spread(heartbeat)
        return {a: key for a, key in every.items() if a in parts or self._is_well(a)} or every

    def _take(
        self, gathering: _Gathering, parts: Mapping[Address, _Part], outcome: Outcome
    ) -> dict[int, tuple[Address, bool]]:
        """Gathers what came; returns what has to be asked elsewhere."""
        elsewhere: dict[int, tuple[Address, bool]] = {}
        for address, part in parts.items():
            replies, epochs = _come(address, outcome[address], len(part))
            for (index, _), reply, epoch in zip(part, replies, epochs):
                if isinstance(reply, AskError):
                    elsewhere[index] = self._redirected(reply, address)
                gathering.add(index, self._judged(reply), epoch)
        return elsewhere

    def _redirected(self, reply: Any, asked: Address) -> tuple[Address, bool]:
        to = (reply.host or asked[0], int(reply.port))
        if isinstance(reply, MovedError):
            self._slots.moved(int(reply.slot_id), to)
            return to, False
        return to, True

    def _judged(self, reply: Any) -> Any:
        """A refusal of one node is none of the cluster; it may not be the right node any more."""
        if isinstance(reply, Exception) and is_outage(reply):
            self._slots.doubt()
            return RemoteError(str(reply), is_outage=False)
        return reply

    def _pulse(
        self, beats: Mapping[Address, str], outcome: Outcome, parts: Mapping[Address, _Part]
    ) -> Pulse:
        """How all nodes are. One that does not answer is left out: nothing is read from it."""
        refusal, heard = None, False
        for address in beats:
            answers = outcome[address]
            if isinstance(answers, Exception):
                continue
            (beat, info, *_), epochs = answers
            beat = told(beat)
            if not self._recognise(address, info, epochs[0]):
                if address in parts:
                    raise RemoteError(f"{name(address)} is another server now", is_outage=False)
                continue
            heard = True
            if isinstance(beat, AskError):
                self._slots.retag(address)
                self._slots.doubt()
            elif isinstance(beat, Exception):
                refusal = refusal or str(beat)
        if not heard:
            raise RemoteError("no node of the cluster answers", is_outage=False)
        return Pulse(self._epoch(), refusal)

    def _recognise(self, address: Address, info: Any, epoch: str) -> bool:
        """Whether a connection still leads to the server, and the life of it, that it was opened to."""
        node = self._nodes.at(address).read(info)
        if node.is_master and node.epoch == epoch:
            return True
        self._nodes.at(address).master = None  # so that its connections are opened anew
        self._slots.doubt(address)
        return False

    def _epoch(self) -> str:
        """Of all nodes together."""
        masters = [self._nodes.at(address).master for address in self._slots.masters]
        together = "".join(sorted([master.epoch for master in masters if master]))
        return blake2b(together.encode(), digest_size=8).hexdigest() if together else ""


class _Gathering:
    """The answers to an operation's commands, as they come."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self._replies: list[list[Any]] = [[] for _ in commands]
        self._epochs = [""] * len(commands)
        self._has_key = [bool(key_of(command)) for command in commands]

    def add(self, index: int, reply: Any, epoch: str) -> None:
        """What a node said to the command at *index*; the last one counts where there is a key."""
        if index == _NO_INDEX:
            return
        if self._has_key[index]:
            self._replies[index] = [reply]
            self._epochs[index] = epoch
        else:
            # Redis tells the time as texts, which do not compare as numbers do.
            is_time = isinstance(reply, list)
            self._replies[index].append(tuple(map(int, reply)) if is_time else reply)

    def answers(self) -> Answers:
        return [least(iter(some), len(some)) for some in self._replies], self._epochs


def _parts(
    commands: Sequence[Command], homes: Mapping[int, tuple[Address, bool]]
) -> dict[Address, _Part]:
    """What goes to each node, in order; what has no key goes to all of *homes*."""
    parts: dict[Address, _Part] = {address: [] for address, _ in homes.values()}
    for index, command in enumerate(commands):
        if index in homes:
            address, is_moving = homes[index]
            asking = [(_NO_INDEX, _ASKING)] if is_moving else []
            parts[address] += [*asking, (index, command)]
        elif not key_of(command):
            for part in parts.values():
                part.append((index, command))
    return parts


def _sendings(parts: Mapping[Address, _Part], beats: Mapping[Address, str]) -> Sendings:
    beating = {address: heartbeat_commands(key) for address, key in beats.items()}
    return {
        address: [*beating.get(address, ()), *[command for _, command in parts.get(address, ())]]
        for address in {**parts, **beats}
    }


def _behind_pulse(came: Answers | Exception, has_pulse: bool) -> Answers | Exception:
    if isinstance(came, Exception) or not has_pulse:
        return came
    return came[0][HEARTBEAT_COMMANDS:], came[1][HEARTBEAT_COMMANDS:]


def _come(address: Address, came: Answers | Exception, count: int) -> Answers:
    """What a node has answered; its failure, which is not one of the cluster, answers everything."""
    if not isinstance(came, Exception):
        replies, epochs = came
        return [told(reply) for reply in replies], epochs
    failure = RemoteError(f"{name(address)}: {came}", is_outage=False)
    failure.__cause__ = came
    return [failure] * count, [""] * count


def told(reply: Any) -> Any:
    """*reply*, or the redirection that it is; redis-py 5 has no class for these outside its cluster."""
    if type(reply) is not ResponseError:
        return reply
    kind, _, rest = str(reply).partition(" ")
    return _KINDS[kind](rest) if kind in _KINDS else reply
