"""Fingerprints: what differs has another one, and what differs in names and times only has not."""

from __future__ import annotations

import itertools
import random
import weakref
from collections import OrderedDict, deque
from enum import Enum
from functools import partial
from types import GeneratorType
from typing import NamedTuple

import pytest

from cache_core.testing.simulation import CacheWorld, World
from cache_core.testing.simulation.fingerprint import NOT_DECIDING, Fingerprints, Tour
from cache_core.testing.simulation.kinds import UnknownKind
from cache_core.testing.simulation.lens import Dated, Lens, Moment, Name
from cache_core.testing.simulation.run import running
from cache_core.testing.simulation.trace import read_choices
from cache_core.testing.simulation.world import faults
from cache_core.testing.simulation.world.process import ROW
from cache_core.testing.simulation.world.texts import Texts

# Coverage would make a search many times slower.
pytestmark = pytest.mark.no_cover


class Holder(World):
    """A world that holds one thing; texts that begin with # are names."""

    lens = Lens()

    def __init__(self, held, now=None):
        super().__init__()
        self.held = held
        self._now = now

    @property
    def now(self):
        return self._now

    def read(self, text):
        if isinstance(text, bytes):
            return None
        if text.startswith("#"):
            return Name(text[1:])
        return (Name(text[1:3]), Moment(float(text[3:]))) if text.startswith("@") else None


Holder.lens = Lens(ignored={Holder: frozenset({"_now"})})


def fingerprints(*held, now=None):
    """The fingerprints of worlds that hold these."""
    book = Fingerprints(Holder.lens)
    return [book.of(Holder(each, now)) for each in held]


def alike(first, second):
    one, other = fingerprints(first, second)
    return one == other


class Slotted:
    __slots__ = ("__hidden", "left", "right")

    def __init__(self, hidden=0, **parts):
        self.__hidden = hidden
        for name, part in parts.items():
            setattr(self, name, part)


class Open:
    def __init__(self, **parts):
        self.__dict__.update(parts)

    def method(self):
        """Something to bind."""


class Pair(NamedTuple):
    left: object
    right: object


class Listed(list):
    tag = None


def tagged(tag):
    made = Listed([1])
    made.tag = tag
    return made


def closure(value):
    return lambda: value


def held_twice(value):
    return [value, value]


def picked(index):
    parts = [[], []]
    return [*parts, parts[index]]


def stepped(steps, times=1):
    for _ in range(times):
        next(steps)
    return steps


def kept(value):
    result = value
    yield
    return result


def twice():
    yield
    yield


def loop(values):
    for _ in values:
        yield


def loop_by_hand(values):
    rest = iter(values)
    while True:
        next(rest)
        yield


def argument(value):
    return max(value, (yield), 0)


def sometimes_set(flags):
    if flags.pop():
        first = 1
    else:
        second = 1
    yield
    return first, second


def handling(error):
    try:
        raise error
    except ValueError:
        yield


def delegating(steps):
    yield from steps


async def awaiting(steps):
    await Waiting(steps)


class Waiting:
    def __init__(self, steps):
        self.steps = steps

    def __await__(self):
        return self.steps


def sent(coroutine):
    coroutine.send(None)
    return coroutine


DIFFERENT = {
    "numbers": (1, 2),
    "numbers and flags": (1, True),
    "numbers of two kinds": (1, 1.0),
    "texts": ("a", "b"),
    "texts and bytes": ("a", b"a"),
    "nothing and a flag": (None, False),
    "lengths": ([1], [1, 1]),
    "depths": ([[1], 2], [[1, 2]]),
    "containers": ([1], (1,)),
    "values of a dict": ({"a": 1}, {"a": 2}),
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "order of an OrderedDict": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "order of a deque": (deque([1, 2]), deque([2, 1])),
    "members": ({1, 2}, {1, 3}),
    "attributes": (Open(a=1), Open(a=2)),
    "names of attributes": (Open(a=1), Open(b=1)),
    "slots": (Slotted(left=1), Slotted(left=2)),
    "slots that are set": (Slotted(left=1), Slotted(right=1)),
    "hidden slots": (Slotted(1), Slotted(2)),
    "an unset slot and nothing": (Slotted(), Slotted(left=None, right=None)),
    "an unset slot and a new object": (Slotted(), Slotted(left=object())),
    "named tuples": (Pair(1, 2), Pair(2, 1)),
    "a list's attributes": (tagged(1), tagged(2)),
    "classes": (Open(), Slotted),
    "errors": (ValueError(1), ValueError(2)),
    "closures": (closure(1), closure(2)),
    "functions": (closure, held_twice),
    "bound methods": (Open(a=1).method, Open(a=2).method),
    "bound methods of containers": ([1].append, [2].append),
    "partials": (partial(max, 1), partial(max, 2)),
    "aliases": (held_twice([]), [[], []]),
    "which of two": (picked(0), picked(1)),
    "identities": (held_twice(object()), [object(), object()]),
    "variables": (stepped(kept(1)), stepped(kept(2))),
    "which variable is set": (stepped(sometimes_set([1])), stepped(sometimes_set([0]))),
    "a generator that has not begun": (kept(1), stepped(kept(1))),
    "positions in the code": (stepped(twice()), stepped(twice(), 2)),
    "a half-run and an ended generator": (stepped(kept(1)), stepped(loop([1, 2]), 1)),
    "positions of a loop": (stepped(loop([0, 0, 0])), stepped(loop([0, 0, 0]), 2)),
    "positions of an iterator": (stepped(loop_by_hand("aaa")), stepped(loop_by_hand("aaa"), 2)),
    "what a loop goes through": (stepped(loop([0, 1])), stepped(loop([0, 2]))),
    "what lies on the stack": (stepped(argument(1)), stepped(argument(2))),
    "what is handled": (stepped(handling(ValueError(1))), stepped(handling(ValueError(2)))),
    "what is delegated to": (stepped(delegating(kept(1))), stepped(delegating(kept(2)))),
    "what is awaited": (sent(awaiting(kept(1))), sent(awaiting(kept(2)))),
    "names that agree": (["#1", "#1"], ["#1", "#2"]),
    "a name and a text": ("#1", "1"),
    "names in texts": (["@aa1", "@aa1"], ["@aa1", "@bb1"]),
}


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_has_another_fingerprint(one, other):
    """Anything that may decide how a run goes on counts."""
    assert not alike(one, other)
    for each in (one, other):
        if hasattr(each, "close"):
            each.close()


ALIKE = {
    "names": (["#1", "#2", "#1"], ["#7", "#5", "#7"]),
    "names in a dict": ({"a": "#1", "b": "#2"}, {"a": "#2", "b": "#1"}),
    "names in texts": (["#aa", "@aa5"], ["#bb", "@bb5"]),
    "objects without attributes": (object(), object()),
    "equal objects": (Open(a=[1]), Open(a=[1])),
    "attributes in another order": (Open(a=1, b=2), Open(b=2, a=1)),
    "sets filled in another order": ({"a", "b", "c"}, {"c", "b", "a"}),
    "equal tuples, shared or not": (held_twice((1, [])), held_twice((1, []))),
    "equal texts, shared or not": (held_twice("ab"), ["ab", "".join("ab")]),
    "functions": (closure([1]), closure([1])),
    "loops": (stepped(loop([1, 2])), stepped(loop([1, 2]))),
    "coroutines": (sent(awaiting(kept(1))), sent(awaiting(kept(1)))),
}


@pytest.mark.parametrize(("one", "other"), ALIKE.values(), ids=ALIKE)
def test_what_differs_in_names_only_has_one_fingerprint(one, other):
    """States that no run can tell apart are one."""
    assert alike(one, other)
    for each in (one, other):
        if hasattr(each, "close"):
            each.close()


def test_moments_count_by_their_distance_from_now():
    """A state that comes again later is the same state."""
    book = Fingerprints(Holder.lens)
    now = 1_700_000_000.0

    def at(now, expires):
        return book.of(Holder([expires, int(expires * 1000), f"@xx{expires}", 600.0], now))

    assert at(now, now + 5) == at(now + 3600, now + 3605)
    assert at(now, now + 5) != at(now, now + 6)
    assert at(now, now + 5) != at(now + 1, now + 5)


def test_a_lens_leaves_out_what_it_names():
    """Ignored attributes, the order of some dicts, and all of an object but what is shown of it."""

    class Watched(Holder):
        lens = Lens(
            ignored={Open: frozenset({"log"})},
            unordered={Open: frozenset({"table"})},
            views={Slotted: lambda slotted: slotted.left},
        )

    def fingerprint(**parts):
        return book.of(Watched(Open(**parts)))

    book = Fingerprints(Watched.lens)
    assert fingerprint(log=1) == fingerprint(log=2)
    assert fingerprint(table={1: 2, 3: 4}) == fingerprint(table={3: 4, 1: 2})
    assert fingerprint(table={1: 2, 3: 4}) != fingerprint(table={1: 4, 3: 2})
    assert fingerprint(a=Slotted(left=1, right=1)) == fingerprint(a=Slotted(left=1, right=2))
    assert fingerprint(a=Slotted(left=1)) != fingerprint(a=Slotted(left=2))
    assert fingerprint(a=held_twice(Slotted(left=1))) != fingerprint(
        a=[Slotted(left=1), Slotted(left=1)]
    )


def test_a_fingerprint_keeps_nothing_alive():
    """Looking at the variables of a half-run generator does not hold their values."""

    def steps():
        held = Open()
        yield weakref.ref(held)
        del held
        yield

    half_run = steps()
    held = next(half_run)
    fingerprints(half_run)
    next(half_run)
    assert held() is None


def test_what_cannot_be_looked_into_is_refused():
    """An object with a hidden state would make states look alike that are not."""
    with pytest.raises(UnknownKind, match=r"itertools\.count, found at world\.held\['a'\]\.b$"):
        fingerprints({"a": Open(b=itertools.count())})
    with pytest.raises(UnknownKind, match=r"random\.Random"):
        fingerprints(random.Random(1))


# -- the world of the cache ---------------------------------------------------------------------------


def site():
    """Requests, writers and faults in two processes."""
    world = CacheWorld(crashes=1, cancels=1)
    here, there = world.process(crashable=True), world.process()
    world.start(
        here.request(ROW, ROW, cancellable=True),
        here.request(),
        there.request(),
        there.writer(),
        *there.request_of_two_tasks(),
        faults.outage(world),
        faults.evict_versions(world),
    )
    return world


# What can be kept, waited for, queued or half done is so in one of these.
BUSY = {
    "a load that others wait for": "0 0 0 1 1",
    "entries in both layers": "0 0 0 0 0 0 2 2 4 4",
    "an invalidation that is queued": "0 0 0 0 0 0 3 6 3 1 2",
    "an own write": "0 0 0 0 0 0 5 5 4 4 3 3 2 2",
}


@pytest.fixture(params=BUSY.values(), ids=BUSY)
def busy(request):
    """A world in the middle of its work, and what makes its fingerprints."""
    with running(site) as run:
        run.repeat(read_choices(request.param))
        yield run.world, Fingerprints(run.world.lens)


def everything_seen(book, world):
    """All objects that a fingerprint of *world* goes through."""
    found = {}

    def recording(visitor):
        def visit(tour, value):
            found[id(value)] = value
            visitor(tour, value)

        return visit

    book.of(world)
    plain = dict(book.visitors)
    book.visitors.update({kind: recording(visitor) for kind, visitor in plain.items()})
    Tour(book, world).visit(world)
    book.visitors.update(plain)
    return list(found.values())


def changeable_attributes(owner):
    kinds = type(owner).__mro__
    if isinstance(owner, (tuple, Enum)) or not kinds[0].__module__.startswith("cache_core"):
        return []
    slots = [name for kind in kinds for name in vars(kind).get("__slots__", ())]
    return [name for name in (*slots, *getattr(owner, "__dict__", ())) if hasattr(owner, name)]


def left_out(lens, owner, name):
    """Whether the lens says that the attribute does not count."""
    kinds = type(owner).__mro__
    tables = (lens.ignored, NOT_DECIDING)
    named = any(name in table.get(kind, ()) for table in tables for kind in kinds)
    return named or any(kind in lens.views for kind in kinds)


def different(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return 0.25 if value in {float("inf"), float("-inf")} else value + 1
    return f"{value}?" if isinstance(value, str) else ...


def counts(book, world, before):
    try:
        return book.of(world) != before
    except (AttributeError, KeyError, TypeError):
        return True  # It was looked at.


def test_every_attribute_counts_but_for_those_that_are_named(busy):
    """Nothing is left out of a fingerprint of the cache's world by accident."""
    world, book = busy
    before = book.of(world)
    for owner in everything_seen(book, world):
        for name in changeable_attributes(owner):
            value = getattr(owner, name)
            object.__setattr__(owner, name, different(value))
            counted = counts(book, world, before)
            object.__setattr__(owner, name, value)
            assert counted or left_out(world.lens, owner, name), (owner, name)
    assert book.of(world) == before


def test_what_containers_hold_counts(busy):
    """A memo entry, a version, a flight, a queued invalidation: one more or less is another state."""
    world, book = busy
    before = book.of(world)
    for owner in everything_seen(book, world):
        if isinstance(owner, dict):
            owner["another"] = 1
            assert book.of(world) != before
            del owner["another"]
        elif isinstance(owner, list):
            owner.append(1)
            assert book.of(world) != before
            owner.pop()
    assert book.of(world) == before


def test_the_frames_of_the_protocol_count():
    """The generators that run in production are gone through, from the request to its operation."""
    with running(site) as run:
        run.repeat(read_choices("0 0"))
        seen = everything_seen(Fingerprints(run.world.lens), run.world)
    names = {each.__name__ for each in seen if isinstance(each, GeneratorType)}
    assert {"read", "find", "learn", "create"} <= names


def test_the_order_of_what_does_not_touch_does_not_matter():
    """Two processes that write one after the other leave the same state as the other way round."""

    def writers():
        world = CacheWorld()
        here, there = world.process(), world.process()
        world.start(here.request(), here.writer(), there.writer())
        return world

    book = Fingerprints(CacheWorld.lens)
    states = []
    for choices in ("1 2 1 2", "2 1 1 2", "1 2 2 1", "2 2 1 1"):
        with running(writers) as run:
            run.repeat(read_choices(choices))
            states.append(book.of(run.world))
    assert len(set(states)) == 1


BIRTH = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("n1700000000000.12", Dated("n", "12", BIRTH)),
        ("00000000000000ffn1700000000000.12", Dated("00000000000000ffn", "12", BIRTH)),
        ("!n1700000000000.12", Dated("!n", "12", BIRTH)),
        (
            "!1700000000000.12|process1t3@1700000005000,hold@1700000060500",
            (
                Dated("!", "12", BIRTH),
                (Name("process1t3"), Moment(BIRTH + 5.0)),
                ("hold", Moment(BIRTH + 60.5)),
            ),
        ),
        ("process1t3", Name("process1t3")),
        ("!pending", None),
        ("12", None),
        ("{row:1}", None),
    ],
)
def test_a_version_is_a_name_with_all_that_it_says_besides(text, meaning):
    """A marked version differs from one that is not; ids and keys are no names."""
    assert Texts().read(text) == meaning


def test_an_entry_counts_by_the_versions_that_it_was_made_under():
    """An entry that is valid and one that is not are two states, whatever the versions are called."""

    def scenario():
        world = CacheWorld()
        here, there = world.process(), world.process()
        world.start(here.request(), there.writer(too_early=True))
        return world

    book, states = Fingerprints(CacheWorld.lens), []
    for choices in ("0 0 0 0 0 0 1 1", "1 0 0 0 0 0 0 1"):
        with running(scenario) as run:
            run.repeat(read_choices(choices))
            states.append(book.of(run.world))
    assert states[0] != states[1]
