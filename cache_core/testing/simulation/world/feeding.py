"""The push feed of a simulated process: what a connection of ``layers.redis.feed`` does, by turns.

The table and the lease are those of production. Between them and the store lies a stream on which
everything keeps its order: what changed, and the answers to heartbeats and canaries. It may be slow,
break, go silent without a sign, or never carry a change at all.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from cache_core.testing.simulation.actors import Actor, Turn, Turns

if TYPE_CHECKING:
    from cache_core.protocol.feed import FeedTable
    from cache_core.testing.simulation.world.process import CacheProcess

BEAT, CANARY = "heartbeat", "canary"
BROKEN = "disconnected"

_ELSEWHERE = "f" * 16
"""Epoch of a node that is not the one that data comes from."""


class Pushed(NamedTuple):
    """A message: these things changed."""

    things: tuple[str, ...]


class Feed:
    """The feed of one process.

    Args:
        process: Whose it is.
        answers_early: Whether the store may answer a heartbeat before it says what changed. Both
            happen in one turn of its loop, in which it answers no second one (rule Z5).
        is_mute: Whether something on the way drops every change, canaries among them.
        is_elsewhere: Whether the first connection leads to another node than data comes from.

    Attributes:
        messages: On their way to the process.
        asked: On their way to the store: heartbeats and canaries.
        unsaid: What the store says at the end of this turn of its loop.
    """

    def __init__(
        self,
        process: CacheProcess,
        *,
        answers_early: bool = False,
        is_mute: bool = False,
        is_elsewhere: bool = False,
    ) -> None:
        self.process = process
        self.messages: list[Pushed | str] = []
        self.asked: list[str] = []
        self.unsaid: list[Pushed | str] = []
        self._answers_early = answers_early
        self._has_answered = False
        self._is_mute = is_mute
        self._is_silent = self._is_broken = False
        self._is_elsewhere = is_elsewhere
        self._epoch: str | None = None

    @property
    def table(self) -> FeedTable:
        """What it keeps right."""
        table = self.process.runtime.feed
        assert table is not None  # only a world with a feed has such processes
        return table

    def actors(self) -> list[Actor]:
        """Those who take the steps: the process's thread, and the store's side."""
        name = f"{self.process.name}'s feed"
        made = [Actor(name, self._live(), process=self.process, daemon=True)]
        if self._answers_early:
            made.append(Actor("the store", self._say(), daemon=True))
        return made

    def goes_silent(self) -> Actor:
        """A fault: from some moment on nothing comes through, and nobody is told."""

        def steps() -> Turns:
            yield f"goes silent towards {self.process.name}"
            self._is_silent = True
            self._lose()

        return Actor("the network", steps(), daemon=True)

    def breaks(self) -> Actor:
        """A fault: the connection breaks, which the process learns when it listens next."""

        def steps() -> Turns:
            yield f"ends the connection of {self.process.name}'s feed"
            self._is_broken = True
            self._lose()

        return Actor("the network", steps(), daemon=True)

    def trust(self) -> None:
        """Makes the feed one that has been trusted for a while, if canaries come through."""
        clock, table = self.process.world.clock, self.table
        self._open()
        lease = table.lease
        lease.canary_sent(clock.now)
        if not self._is_mute:
            lease.canary_seen(clock.now)
        for _ in range(2):
            lease.beat_sent(clock.now)
            lease.beat_answered(clock.now)

    def settle(self) -> None:
        """Takes in all that is on its way."""
        for message in (*self.messages, *self.unsaid):
            self._take_in(message)
        self._lose()

    def hears(self, things: tuple[str, ...]) -> None:
        """The store has changed *things*."""
        if self._is_connected and not self._is_mute:
            self._says(Pushed(things))

    def wrong_thing(self) -> str | None:
        """A thing of which the table says something else than the store, though it heard of all."""
        process = self.process
        if not process.alive or not self._is_connected or self._is_mute:
            return None
        if any(isinstance(each, Pushed) for each in (*self.messages, *self.unsaid)):
            return None
        table, now = self.table, process.world.clock.monotonic()
        store = process.world.store_of(process)
        if not table.usable(now) or store.epoch != self._epoch:
            return None
        known = {**table._old, **table._young}  # noqa: SLF001 - reading by ``known`` changes it
        for thing, version in known.items():
            held, expires = store.versions.get(thing, ("", 0.0))
            if expires > now * 1000 and store.epoch + held != version:
                return thing
        return None

    @property
    def _is_connected(self) -> bool:
        """Whether what happens at the store gets as far as the stream."""
        is_there = self._epoch == self.process.world.store.epoch
        return is_there and not (self._is_silent or self._is_broken)

    def _says(self, message: Pushed | str) -> None:
        (self.unsaid if self._answers_early else self.messages).append(message)

    def _lose(self) -> None:
        self.messages, self.asked, self.unsaid = [], [], []
        self._has_answered = False

    # -- the process's side --------------------------------------------------------------------------

    def _open(self) -> None:
        world = self.process.world
        self._epoch = _ELSEWHERE if self._is_elsewhere else world.store.epoch
        self._is_elsewhere = self._is_silent = self._is_broken = False
        self._lose()
        self.table.connected(self._epoch, world.clock.monotonic())

    def _live(self) -> Turns:
        clock = self.process.world.clock
        while True:
            if self._epoch is None:
                yield "connects"
                self._open()
            why = None
            while why is None:
                now = clock.monotonic()
                self._send_due(now)
                # There is something to do when a message is there, or time has passed.
                yield Turn(("listens",), ready=partial(self._is_awake, now))
                if self.messages:
                    self._take_in(self.messages.pop(0))
                why = BROKEN if self._is_broken else self.table.fault(now)
            self.table.lost(why)
            self._epoch = None

    def _is_awake(self, since: float) -> bool:
        is_told = bool(self.messages) or self._is_broken
        return is_told or self.process.world.clock.monotonic() > since

    def _send_due(self, now: float) -> None:
        lease = self.table.lease
        if lease.canary_due(now):
            lease.canary_sent(now)
            self.asked.append(CANARY)
        if lease.beat_due(now):
            lease.beat_sent(now)
            self.asked.append(BEAT)
        self._answer()

    def _take_in(self, message: Pushed | str) -> None:
        table, now = self.table, self.process.world.clock.monotonic()
        self.process.world.notes.append(str(message))
        if isinstance(message, Pushed):
            table.pushed(message.things)
        elif message == BEAT:
            table.lease.beat_answered(now)
        else:
            table.lease.canary_seen(now)

    # -- the store's side --------------------------------------------------------------------------

    def _answer(self) -> None:
        """Answers what was asked, at once: that is when an answer proves least."""
        while self.asked and (self._is_connected or self._epoch == _ELSEWHERE):
            if self.asked[0] == BEAT:
                if self._has_answered:
                    return  # A second one in the same turn of its loop there is not.
                self._has_answered = bool(self.unsaid)
                self.messages.append(BEAT)
            elif not self._is_mute:
                self._says(CANARY)
            self.asked.pop(0)

    def _say(self) -> Turns:
        while True:
            what = f"says what changed to {self.process.name}"
            yield Turn((what,), ready=lambda: bool(self.unsaid))
            self.messages += self.unsaid
            self.unsaid, self._has_answered = [], False
            self._answer()
