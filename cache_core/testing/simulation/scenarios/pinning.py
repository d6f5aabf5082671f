"""The pin: a session reads what it wrote, in whatever process (rule Z9, property P4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cache_core.pins import QUEUED, WROTE, Pin
from cache_core.testing.simulation.scenarios.case import (
    Case,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.scenarios.feeding import WAIT, WORLD
from cache_core.testing.simulation.world import faults, session
from cache_core.testing.simulation.world.session import Visit

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld


@scenario(**WORLD)
def a_session_over_two_feeds(world: CacheWorld) -> None:
    """One user writes here and reads there, where the feed may not have heard of it."""
    (here, _), (there, _) = world.fed_process(), world.fed_process()
    world.start(world.session(Visit(here, writes=True), Visit(there)))


@scenario(**WORLD)
def a_session_that_is_not_alone(world: CacheWorld) -> None:
    """The same while somebody else writes."""
    (here, _), (there, _) = world.fed_process(), world.fed_process()
    world.start(world.session(Visit(here, writes=True), Visit(there)), there.writer())


@scenario(**WORLD)
def a_write_that_is_queued(world: CacheWorld) -> None:
    """The store does not take the write, or takes it late; another process knows nothing of it."""
    (here, _), (there, _) = world.fed_process(), world.fed_process()
    visits = Visit(here, writes=True), Visit(there), Visit(here)
    world.start(world.session(*visits), faults.outage(world))


# -- rules that are switched off ---------------------------------------------------------------------


def _no_pin(scope: Any) -> None:
    return None


def _never_queued(pin_of: Any) -> Any:
    def given(scope: Any) -> Pin | None:
        pin: Pin | None = pin_of(scope)
        return pin._replace(value=WROTE) if pin is not None and pin.value == QUEUED else pin

    return given


SUBJECT = Subject(
    "pins",
    cases=(
        Case(a_session_over_two_feeds),
        Case(a_session_over_two_feeds.under("mode feed_wait", policy=WAIT)),
        Case(a_session_that_is_not_alone, is_large=True),
        Case(a_write_that_is_queued),
    ),
    off=(
        Off(
            rule="Z9",
            what="a session brings no pin",
            scenario=a_session_over_two_feeds,
            violates="P4",
            switch=replaced(session, "pin_of", _no_pin),
        ),
        Off(
            rule="Z9",
            what="a pin does not say that the write is still waiting",
            scenario=a_write_that_is_queued,
            violates="P4",
            switch=swapped(session, "pin_of", _never_queued),
        ),
    ),
)
