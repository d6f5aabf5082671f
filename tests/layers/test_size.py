"""How heavy a value is taken to be."""

from __future__ import annotations

import enum
import sys
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from sys import getsizeof
from timeit import timeit
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.layers.size import weigh


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("never_set", "text")

    def __init__(self, text):
        self.text = text


class SlottedAndMore(Slotted):
    def __init__(self, text, more):
        super().__init__(text)
        self.more = more


@dataclass
class Row:
    name: str
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FrozenRow:
    __slots__ = ("name",)
    name: str


class Pair(NamedTuple):
    number: int
    name: str


class Colour(enum.Enum):
    RED = "r" * 10_000


def text(length=1_000, letter="x"):
    """A new string of its own."""
    return letter * length


@pytest.mark.parametrize("value", [7, 1.5, "text", b"bytes", None, True, (), 2**500])
def test_a_plain_value_weighs_what_python_says(value):
    """What refers to nothing is measured exactly."""
    assert weigh(value) == getsizeof(value)


def test_a_container_weighs_itself_and_what_is_in_it():
    """Keys, values and items count, at any depth."""
    a, b, key = text(), text(2_000), text(30)
    inner = (b, 1.5)
    value = {key: [a, inner]}
    parts = (value, key, value[key], a, inner, b, 1.5)
    assert weigh(value) == sum(map(getsizeof, parts))


@pytest.mark.parametrize("kind", [list, tuple, set, frozenset, deque])
def test_every_kind_of_container_is_looked_into(kind):
    """The items count in lists, tuples, sets and deques."""
    items = [text(1_000, letter) for letter in "abc"]
    value = kind(items)
    assert weigh(value) == getsizeof(value) + sum(map(getsizeof, items))


@pytest.mark.parametrize(
    "value",
    [
        Plain(body=text(5_000)),
        Slotted(text(5_000)),
        SlottedAndMore("x" * 2_500, "y" * 2_500),
        Row("name", [text(5_000)]),
        FrozenRow(text(5_000)),
        OrderedDict(body=text(5_000)),
        Pair(1, text(5_000)),
        type("MyList", (list,), {})([text(5_000)]),
        type("MyDict", (dict,), {})(body=text(5_000)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_object_holds_counts(value):
    """Attributes, slots (inherited ones too), fields and items of subclasses are found."""
    assert 5_000 < weigh(value) < 6_500


def test_what_is_referred_to_twice_counts_once():
    """Sharing parts makes a value lighter, as it does in memory."""
    shared = text(10_000)
    assert weigh([shared] * 100) < 12_000
    assert weigh([shared] * 100_000) < 12_000 + getsizeof([None] * 100_000)


def test_cycles_end():
    """A value that contains itself is weighed like any other."""
    value = [text()]
    value.append(value)
    owner = Plain(body=value)
    owner.itself = owner
    value.append(owner)
    assert 1_000 < weigh(value) < 3_000


def test_what_belongs_to_the_program_weighs_nothing():
    """Modules, classes, functions, methods and enum members are there anyway."""
    for thing in (sys, Plain, text, [].append, Plain(a=text()).__init__, Colour.RED, len):
        assert weigh(thing) == 0


def test_the_way_to_a_shared_mapper_is_not_followed():
    """An SQLAlchemy instance does not weigh what all instances of its class share."""
    assert weigh(Plain(_sa_instance_state=[text(5_000)], name="a")) < 1_000


def test_a_lazy_object_stays_lazy():
    """No property, hook or generic access of a class is run."""
    touched = []

    class Lazy:
        __slots__ = ("__dict__",)

        @property
        def costly(self):
            touched.append("property")

        def __getattr__(self, name):
            touched.append(name)

        def __getattribute__(self, name):
            touched.append(name)
            return object.__getattribute__(self, name)

        @property
        def __class__(self):
            touched.append("__class__")
            return dict

        def __iter__(self):
            touched.append("__iter__")
            return iter(())

        def __len__(self):
            touched.append("__len__")
            return 0

        def __eq__(self, other):
            touched.append("__eq__")
            return True

        __hash__ = None

    class Items(list):
        def __iter__(self):
            touched.append("__iter__")
            return iter(())

        def __len__(self):
            touched.append("__len__")
            return 0

    weigh([Lazy(), Items([Lazy()])])
    # sys.getsizeof itself looks __sizeof__ up on the type, never on the object.
    assert touched == []


def test_nothing_makes_it_raise():
    """An object that resists counts by itself or not at all."""

    class Resisting:
        def __sizeof__(self):
            raise RuntimeError

    class Boasting:
        def __sizeof__(self):
            return -1

    assert weigh(Resisting()) >= 0
    assert weigh([Resisting(), Boasting(), text(5_000)]) > 5_000


def test_a_deep_value_needs_no_recursion():
    """Nesting beyond the recursion limit is no problem."""
    value = []
    for _ in range(100_000):
        value = [value]
    try:
        assert weigh(value) > 0
    finally:
        while value:  # Taken apart from the outside: freeing it in one go nests as deep.
            value = value.pop()


LARGE = {
    "rows": lambda: [{"id": i + 1_000, "name": text(200)} for i in range(10_000)],
    "objects": lambda: [Plain(id=i + 1_000, name=text(200)) for i in range(5_000)],
    "dict": lambda: {f"key {i}": [text(100), i + 1_000] for i in range(10_000)},
    "set": lambda: {f"some key {i:05}" for i in range(20_000)},
    "lop-sided": lambda: [text(10), [text(100) for _ in range(50_000)], 1.5],
    "numbers": lambda: [float(i) for i in range(100_000)],
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_value_is_estimated_well(name):
    """Samples of a large value come within a fifth of the exact figure."""
    value = LARGE[name]()
    assert weigh(value) == pytest.approx(exact_weight(value), rel=0.2)


def exact_weight(value):
    """The sum over all objects; fit for the few types of the test above."""
    seen, waiting, total = set(), [value], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        total += getsizeof(item)
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, (list, set)):
            waiting += item
        elif isinstance(item, Plain):
            waiting += item.__dict__.values()
            total += getsizeof(item.__dict__)
    return total


def test_the_effort_is_bounded():
    """A thousand times larger value takes about as long, not a thousand times as long."""
    small = [[str(i)] for i in range(2_000)]
    large = [[str(i)] for i in range(500_000)]
    slow = min(timeit(lambda: weigh(large), number=3) for _ in range(5))
    fast = min(timeit(lambda: weigh(small), number=3) for _ in range(5))
    assert slow < 10 * fast


def test_a_value_that_is_changed_meanwhile_does_no_harm():
    """Another thread may fill and empty the value while it is weighed."""
    value = {i: [i] for i in range(300)}
    stop = threading.Event()

    def change():
        while not stop.is_set():
            for i in range(300, 400):
                value[i] = [i]
            for i in range(300, 400):
                del value[i]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        assert all(weigh(value) > 0 for _ in range(200))
    finally:
        stop.set()
        thread.join()


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=30,
)


@given(plain_values)
def test_a_value_weighs_at_least_its_outermost_object(value):
    """Parts only add to the weight."""
    assert weigh(value) >= getsizeof(value)


@given(st.lists(plain_values, max_size=5), plain_values)
def test_more_parts_never_weigh_less(values, extra):
    """Adding to a container makes it heavier."""
    assert weigh((*values, extra)) > weigh(tuple(values))
