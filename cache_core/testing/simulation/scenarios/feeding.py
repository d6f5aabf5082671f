"""The push feed: versions that are known without asking (rules Z, I8, properties P7 and P2f)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cache_core.protocol import bracket
from cache_core.protocol.feed import FeedTable
from cache_core.protocol.lease import Lease
from cache_core.protocol.operations import Sleep, Steps
from cache_core.protocol.plan import Plan
from cache_core.protocol.runtime import Runtime
from cache_core.testing.simulation.scenarios.case import (
    LOCAL,
    Case,
    Gap,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.declared import Function
from cache_core.testing.simulation.world.functions import READ_AT_ONCE, at_once
from cache_core.testing.simulation.world.process import things_of
from cache_core.testing.simulation.world.promises import PROMISED

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

FEED = {"consistency": "feed", **LOCAL}
WAIT = {"consistency": "feed_wait", **LOCAL}
LOCKED = {"consistency": "feed", "lock": "on"}

LEASE = 0.25
"""Seconds that a proof counts, by default; time passes in steps as long as this."""

UNPULSED = {"pulse_seconds": 0}
"""When the store was asked last would only tell states apart."""

SMALL = {**UNPULSED, "feed_max_things": 2}

WORLD: dict[str, Any] = {
    "functions": (READ_AT_ONCE,),
    "policy": FEED,
    "span": LEASE,
    "settings": UNPULSED,
}
"""Arguments of the worlds with a feed."""

CURRENT = Function("current", at_once, policy={"consistency": "request"})
STRICT = Function("strict", at_once, policy={"consistency": "strict"})
MARKED = f"P0 {PROMISED['feed_wait']}"


@scenario(**WORLD)
def a_slow_feed(world: CacheWorld, *, ticks: int = 2) -> None:
    """A process that knows everything, and hears of a write whenever; its lease may end before."""
    (here, _), there = world.fed_process(), world.process()
    world.start(here.request(), there.writer(), faults.time(world, *[LEASE] * ticks))


waited_for = a_slow_feed.among("waited for", ticks=1).under("mode feed_wait", policy=WAIT)


@scenario(**WORLD)
def a_feed_that_begins(world: CacheWorld) -> None:
    """Nothing is known, and the feed is yet to be connected."""
    (here, _), there = world.fed_process(warm=False), world.process()
    world.start(here.request(), there.writer(), faults.time(world, LEASE))


@scenario(**WORLD)
def a_feed_that_goes_silent(world: CacheWorld) -> None:
    """Nothing arrives any more, and nobody is told."""
    (here, feed), there = world.fed_process(), world.process()
    time = faults.time(world, LEASE, LEASE)
    world.start(here.request(), there.writer(), feed.goes_silent(), time)


@scenario(**WORLD)
def a_feed_that_breaks(world: CacheWorld) -> None:
    """It is connected again, and trusted again; what was changed meanwhile nobody told it."""
    (_, feed), there = world.fed_process(), world.process()
    world.start(there.writer(), feed.breaks(), faults.time(world, LEASE))


@scenario(**WORLD, slow_answers=True)
def a_fetch_and_a_push(world: CacheWorld) -> None:
    """The answer to a fetch may be on its way longer than the message that it is out of date."""
    (here, feed), there = world.fed_process(), world.process()
    feed.table.forget(things_of((1,)))
    world.start(here.request(), there.writer())


@scenario(**WORLD)
def a_feed_that_carries_nothing(world: CacheWorld) -> None:
    """Something on the way drops what changed; heartbeats pass."""
    (here, _), there = world.fed_process(is_mute=True), world.process()
    world.start(here.request(), there.writer(), faults.time(world, LEASE, LEASE))


@scenario(**WORLD)
def a_feed_of_another_node(world: CacheWorld) -> None:
    """Feed and data come from two nodes, as in the middle of a failover."""
    (here, _), there = world.fed_process(is_elsewhere=True), world.process()
    world.start(here.request(), there.writer(), faults.time(world, LEASE, LEASE))


@scenario(**WORLD)
def a_store_that_answers_early(world: CacheWorld, *, ticks: int = 2) -> None:
    """Its answers to heartbeats may leave before its messages of what changed."""
    (here, _), there = world.fed_process(answers_early=True), world.process()
    world.start(here.request(), there.writer(), faults.time(world, *[LEASE] * ticks))


early_and_waited_for = a_store_that_answers_early.among("waited for", ticks=1).under(
    "mode feed_wait", policy=WAIT
)


@scenario(**WORLD)
def versions_that_are_lost(world: CacheWorld) -> None:
    """The store evicts every version, and says so."""
    (here, _), there = world.fed_process(), world.process()
    world.start(here.requests(2), there.writer(), faults.evict_versions(world))


@scenario(**WORLD)
def a_failover_under_a_feed(world: CacheWorld, *, ticks: int = 2) -> None:
    """The replica that takes over may not know of the write; nothing comes from the old store."""
    (here, _), there = world.fed_process(), world.process()
    time = faults.time(world, *[LEASE] * ticks)
    world.start(here.request(), there.writer(), faults.failover(world), time)


a_failover_waited_for = a_failover_under_a_feed.among("waited for", ticks=0).under(
    "mode feed_wait", policy=WAIT
)


@scenario(**{**WORLD, "policy": WAIT})
def a_feed_in_an_outage(world: CacheWorld) -> None:
    """A write that is not acknowledged is known to the process that wrote, feed or not."""
    here, _ = world.fed_process()
    world.start(here.request(), here.writer(), faults.outage(world))


@scenario(**{**WORLD, "settings": {}, "promises": "H2", "span": 1.0})
def a_feed_of_a_store_that_takes_no_writes(world: CacheWorld) -> None:
    """It answers heartbeats, and no change can be made that a feed could hear of."""
    (here, _), there = world.fed_process(), world.process()
    time = faults.time(world, *[LEASE] * 5)
    world.start(faults.refusal(world), there.writer(), time, here.request())


@scenario(**{**WORLD, "functions": (READ_AT_ONCE, STRICT), "policy": WAIT, "promises": MARKED})
def a_marked_write_under_feeds(world: CacheWorld, *, ticks: int = 0) -> None:
    """A writer marks, and waits until the feeds have heard of it, before it commits."""
    (here, _), there = world.fed_process(), world.process(crashable=True)
    world.start(here.request(), there.writer(), faults.time(world, *[LEASE] * ticks))


@scenario(**{**WORLD, "policy": WAIT})
def a_fed_machine_with_a_wrong_date(world: CacheWorld) -> None:
    """Its date jumps by an hour; a lease does not go by dates."""
    (here, _), there = world.fed_process(), world.process()
    world.start(here.requests(2), there.writer(), faults.wrong_date(here, 3_600.0))


@scenario(**{**WORLD, "functions": (READ_AT_ONCE, CURRENT), "promises": PROMISED["request"]})
def a_function_that_is_not_fed(world: CacheWorld) -> None:
    """In a process with a feed there is a function that wants to know for certain."""
    (here, _), there = world.fed_process(), world.process()
    world.start(here.request(CURRENT.name), there.writer())


# -- rules that are switched off ---------------------------------------------------------------------


def _tokens_stay(forget: Any) -> Any:
    def forgotten(self: FeedTable, things: Any) -> None:
        token = self.token
        forget(self, things)
        self.token = token

    return forgotten


def _young_half_only(self: FeedTable, things: Any) -> None:
    for thing in things:
        self._reserved.pop(thing, None)
        self._young.pop(thing, None)
    self.token = object()


def _whatever_came_last(self: FeedTable, things: Any, versions: Any, reservation: Any) -> None:
    for thing, version in zip(things, versions, strict=True):
        if version is not None and self._may_keep(version):
            self._put(thing, version)


def _from_the_answered_one(self: Lease, now: float) -> None:
    self._awaits_answer = False
    self.known_until = self._last
    self._extend(now)


def _proven_by_heartbeats(begin: Any) -> Any:
    def begun(self: Lease) -> None:
        begin(self)
        self._is_proven = True

    return begun


def _fed(begin: Any) -> Any:
    def begun(self: Plan, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        self.fed = True

    return begun


def _not_after_marks(mark: Any) -> Any:
    def marked(self: Any) -> Steps[None]:
        steps = mark(self)
        operation = next(steps)
        with suppress(StopIteration):
            while True:
                result = None if isinstance(operation, Sleep) else (yield operation)
                operation = steps.send(result)

    return marked


SUBJECT = Subject(
    "the push feed",
    cases=(
        Case(a_slow_feed),
        Case(a_slow_feed.under("a table of two", settings=SMALL), is_large=True),
        Case(waited_for),
        Case(a_feed_that_begins, is_large=True),
        Case(a_feed_that_goes_silent, is_large=True),
        Case(a_feed_that_breaks),
        Case(a_fetch_and_a_push),
        Case(a_feed_that_carries_nothing, is_large=True),
        Case(a_feed_of_another_node, is_large=True),
        Case(a_feed_of_another_node.under("with locks", policy=LOCKED), is_large=True),
        Case(a_store_that_answers_early, is_large=True),
        Case(early_and_waited_for, is_large=True),
        Case(versions_that_are_lost),
        Case(a_failover_waited_for, is_large=True),
        Case(a_failover_under_a_feed, is_large=True),
        Case(a_feed_in_an_outage),
        Case(a_marked_write_under_feeds, is_large=True),
        Case(a_marked_write_under_feeds.under("the writer may die", crashes=1), is_large=True),
        Case(a_marked_write_under_feeds.among("while time passes", ticks=1), walks=100),
        Case(a_function_that_is_not_fed),
        Case(a_fed_machine_with_a_wrong_date),
    ),
    off=(
        Off(
            rule="Z2",
            what="what was found valid stays so when a change is heard of",
            scenario=a_slow_feed,
            violates="P7",
            switch=swapped(FeedTable, "forget", _tokens_stay),
        ),
        Off(
            rule="Z2",
            what="a change is not looked for in the older half of the table",
            scenario=a_slow_feed.under("a table of two", settings=SMALL),
            violates="P2f",
            switch=replaced(FeedTable, "forget", _young_half_only),
        ),
        Off(
            rule="Z3",
            what="what was fetched is kept, whatever was heard of meanwhile",
            scenario=a_fetch_and_a_push,
            violates="P2f",
            switch=replaced(FeedTable, "keep", _whatever_came_last),
        ),
        Off(
            rule="Z4",
            what="the table is believed until the connection is seen to break",
            scenario=a_slow_feed,
            violates="P2 P7",
            switch=replaced(FeedTable, "usable", lambda self, now: True),
        ),
        Off(
            rule="Z5",
            what="the lease runs from the heartbeat that was answered",
            scenario=a_store_that_answers_early,
            violates="P7",
            switch=replaced(Lease, "beat_answered", _from_the_answered_one),
        ),
        Off(
            rule="Z1",
            what="nobody looks whether changes come through at all",
            scenario=a_feed_that_carries_nothing,
            violates="P7",
            switch=swapped(Lease, "begin", _proven_by_heartbeats),
        ),
        Off(
            rule="Z7",
            what="a writer does not wait for the feeds",
            scenario=waited_for,
            violates="P1",
            switch=replaced(Runtime, "writers_wait", False),
        ),
        Off(
            rule="Z8",
            what="a table outlives its connection",
            scenario=a_feed_that_breaks,
            violates="P2f",
            switch=replaced(FeedTable, "forget_all", lambda self: None),
        ),
        Off(
            rule="Z8",
            what="versions of another node are taken into the table",
            scenario=a_feed_of_another_node,
            violates="P7",
            switch=replaced(FeedTable, "_is_ours", lambda self, version: True),
        ),
        Off(
            rule="Z8",
            what="versions that another node gave to new things are taken as if heard of",
            scenario=a_feed_of_another_node,
            violates="P7",
            switch=replaced(FeedTable, "compare", lambda self, versions: None),
        ),
        Off(
            rule="Z2 X3",
            what="what a process has invalidated itself stays in its table",
            scenario=a_feed_in_an_outage,
            violates="P1",
            switch=replaced(Runtime, "wrote", lambda self, things: None),
        ),
        Off(
            rule="I8",
            what="a marking writer does not wait for the feeds",
            scenario=a_marked_write_under_feeds,
            violates="P0",
            switch=swapped(bracket.Bracket, "mark", _not_after_marks),
        ),
        Off(
            rule="R2",
            what="a function that is not fed takes versions from the table all the same",
            scenario=a_function_that_is_not_fed,
            violates="P1",
            switch=swapped(Plan, "__init__", _fed),
        ),
    ),
    gaps=(
        Gap(
            "a fed process may be a lease behind; in mode feed_wait the writer waits so long",
            a_slow_feed.under("asked for P1", promises="P1"),
            "P1",
        ),
        Gap(
            "that a store takes no writes a feed learns from its canary, every second",
            a_feed_of_a_store_that_takes_no_writes,
            "H2",
        ),
    ),
    unseen=(
        ("Z6", "what a heartbeat is made of: tests/layers/redis"),
        ("Z11", "how much a server holds back for a listener that is frozen is its own setting"),
    ),
)
