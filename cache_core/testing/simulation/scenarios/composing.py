"""What an entry depends on: inner calls, what a loader names, and declared things (rules D, V, R1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cache_core.keys.key import (
    ROOT,
    any_thing,
    tag_thing,
    tenant_things,
    type_thing,
    use_case_thing,
)
from cache_core.protocol import dependencies
from cache_core.protocol.call import Call
from cache_core.protocol.found import Found
from cache_core.testing.simulation.scenarios.case import (
    LOCAL,
    REMOTE,
    Case,
    Off,
    Subject,
    replaced,
    scenario,
    swapped,
)
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.declared import Function
from cache_core.testing.simulation.world.functions import (
    READ_AT_ONCE,
    at_once,
    inner_call,
    named,
    two_inner_calls,
    two_rows,
)
from cache_core.testing.simulation.world.process import things_of

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.world import CacheWorld

PAGE = {"key_type": "page", "id_arg": "id"}
"""Says nothing of the row that a page shows."""

NESTED = READ_AT_ONCE, Function("page", inner_call, declared=PAGE)
TWICE = READ_AT_ONCE, Function("page", two_inner_calls, declared=PAGE)

PAIR = Function(
    "pair", two_rows, rows=(1, 2), declared={**PAGE, "depends_on": [("row", 1), ("row", 2)]}
)

WITHOUT_LIVE = "P1 P2 P3 P4 P6"
"""What holds where the first value after a write may be too young to be kept."""


@scenario(functions=NESTED)
def a_nested_call(world: CacheWorld) -> None:
    """A page is made of a cached row, and all that a writer knows of is the row."""
    here, there = world.process(), world.process()
    world.start(here.request("page"), there.writer())


@scenario(functions=NESTED, policy=LOCAL)
def an_inner_value_of_before(world: CacheWorld) -> None:
    """Another request of the process has read the row, or is about to."""
    here, there = world.process(), world.process()
    world.start(here.request("row"), here.request("page"), there.writer())


@scenario(functions=NESTED, policy=REMOTE)
def an_inner_value_from_elsewhere(world: CacheWorld) -> None:
    """The row may come from the store, where another process has put it."""
    here, there = world.process(), world.process()
    world.start(there.request("row"), here.request("page"), there.writer())


@scenario(functions=TWICE, policy=LOCAL, settings={"request_memo_seconds": 1})
def a_page_of_two_moments(world: CacheWorld) -> None:
    """Between two inner calls of one load its request forgets what it knew of versions."""
    here, there = world.process(), world.process()
    world.start(here.request("page"), there.writer(), faults.time(world, 1.0))


@scenario(functions=(PAIR,), rows=2)
def a_pair_and_two_writers(world: CacheWorld) -> None:
    """Two rows are read and written one after the other, each by another writer."""
    here, there, elsewhere = world.process(), world.process(), world.process()
    world.start(here.request("pair"), there.writer(1), elsewhere.writer(2))


@scenario(functions=(Function("page", named, declared=PAGE),), promises=WITHOUT_LIVE)
def a_page_that_names_its_row(world: CacheWorld, *, warm: bool = True) -> None:
    """While it loads, it says what it depends on; its versions are from some time before."""
    here, there = world.process(warm=warm), world.process()
    world.start(here.request("page"), there.writer(), faults.time(world, 0.125))


@scenario(functions=(Function("page", named, declared=PAGE),), promises=WITHOUT_LIVE)
def a_named_row_whose_version_is_lost(world: CacheWorld) -> None:
    """The store evicts it at any moment, so that a new one is given."""
    here, there = world.process(warm=True), world.process()
    time, eviction = faults.time(world, 0.125), faults.evict_row(world)
    world.start(here.request("page"), there.writer(), time, eviction)


def row_of(value: int) -> list[tuple[str, int]]:
    """What a page depends on, by its value."""
    return [("row", 1)]


BY_VALUE = (Function("page", at_once, declared={**PAGE, "result_depends_on": row_of}),)
from_nothing = a_page_that_names_its_row.among("from nothing", warm=False)


# -- everything that can be declared -----------------------------------------------------------------


def organization(id: int) -> str:
    """The tenant of a row."""
    return "acme"


def user(id: int) -> str:
    """The tenant within it."""
    return "eve"


MANY = Function(
    "row",
    at_once,
    declared={
        "key_type": "row",
        "id_arg": "id",
        "tags": "blue",
        "depends_on": ["shop", ("till", 2)],
        "tenant": {"organization": organization, "user": user},
    },
)
OUTER, INNER = tenant_things([("organization", "acme"), ("user", "eve")])

KINDS = {
    "everything": ("R1 W6", ROOT),
    "a use case": ("R1 W6", use_case_thing("row")),
    "a type": ("R1 W6", type_thing("row")),
    "any of a type": ("R1 D5", any_thing("shop")),
    "a tenant": ("R1 G1", OUTER),
    "a tenant in a tenant": ("R1 G1", INNER),
    "an entity": ("R1", things_of((1,))[0]),
    "another entity": ("R1", "{till:2}"),
    "a tag": ("R1", tag_thing("blue")),
}
"""Kind of thing -> the rules by which the entry depends on it, and the thing."""


@scenario(functions=(MANY,))
def an_entry_of_many_things(world: CacheWorld, *, things: Sequence[str] = (ROOT,)) -> None:
    """What is invalidated is one of them."""
    here, there = world.process(), world.process()
    world.start(here.request(), there.writer(things=things))


OF_EACH_KIND = {
    kind: an_entry_of_many_things.among(kind, things=[thing]) for kind, (_, thing) in KINDS.items()
}


# -- rules that are switched off ---------------------------------------------------------------------


def _not_told(self: Call, stamp: Any, extras: Any) -> None:
    """The outer entry goes by its own things alone."""


def _told_late(tell: Any) -> Any:
    def told(self: Call, stamp: Any, extras: Any) -> None:
        store: Any = self.runtime.remote
        versions = store.store.versions
        now = tuple([store.store.epoch + versions[thing][0] for thing in self.things])
        tell(self, now, extras)

    return told


def _last_one_counts(self: Found, things: Any, versions: Any) -> None:
    self._versions.update(zip(things, versions, strict=False))


def _every_age(versions: Any, limit_ms: float) -> bool:
    return True


def _without(thing: str) -> Any:
    def made(identify: Any) -> Any:
        def identified(self: Call) -> None:
            identify(self)
            self.things = tuple([each for each in self.things if each != thing])

        return identified

    return swapped(Call, "identify", made)


SUBJECT = Subject(
    "dependencies",
    cases=(
        Case(a_nested_call),
        Case(an_inner_value_of_before, is_large=True),
        Case(an_inner_value_from_elsewhere, is_large=True),
        Case(a_page_of_two_moments),
        Case(a_pair_and_two_writers),
        Case(a_named_row_whose_version_is_lost, is_large=True),
        Case(a_page_that_names_its_row),
        Case(from_nothing),
        Case(a_page_that_names_its_row.under("by its value", functions=BY_VALUE)),
        *[Case(each) for each in OF_EACH_KIND.values()],
    ),
    off=(
        Off(
            rule="D2",
            what="an entry depends on its own things alone",
            scenario=a_nested_call,
            violates="P2",
            switch=replaced(Call, "tell_outer", _not_told),
        ),
        Off(
            rule="D2",
            what="of an inner value the versions at its end count",
            scenario=a_nested_call,
            violates="P2",
            switch=swapped(Call, "tell_outer", _told_late),
        ),
        Off(
            rule="R1",
            what="an entry depends on one of its two rows",
            scenario=a_pair_and_two_writers,
            violates="P2",
            switch=_without("{row:2}"),
        ),
        Off(
            rule="D3",
            what="of two versions of a thing the last one counts",
            scenario=a_page_of_two_moments,
            violates="P2",
            switch=replaced(Found, "add", _last_one_counts),
        ),
        *[
            Off(
                rule="D4",
                what="what is named after a load counts, however young it is",
                scenario=each,
                violates="P2",
                switch=replaced(dependencies, "all_born_before", _every_age),
            )
            for each in (from_nothing, from_nothing.under("by its value", functions=BY_VALUE))
        ],
        *[
            Off(
                rule=rules,
                what=f"an entry does not depend on {kind}",
                scenario=OF_EACH_KIND[kind],
                violates="P2",
                switch=_without(thing),
            )
            for kind, (rules, thing) in KINDS.items()
        ],
    ),
    unseen=(("D1", "what is declared is read before the load as rule F1 says; see filling"),),
)
