from __future__ import annotations

import asyncio
import copy
import enum
import functools
import sys
from collections.abc import Awaitable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import DeclarationError, MissingExtra, Unstorable
from cache_core.wire import Msgspec, Wire, codec_for_annotation
from cache_core.wire.typed_msgpack import same
from tests.wire.samples import FIGURES, KEY, Raw, exact, outcome, patiently, refusal, values

msgspec = pytest.importorskip("msgspec")

if TYPE_CHECKING:
    from somewhere import Unknown

T = TypeVar("T")


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Place(NamedTuple):
    x: int
    y: float


class Row(TypedDict):
    id: int
    tags: list[str]


@dataclass
class User:
    id: int
    name: str
    joined: datetime
    price: Decimal
    key: UUID
    level: Level
    place: Place
    row: Row
    days: set[date]
    parent: User | None = None
    pair: tuple[int, float] = (1, 1.0)
    scores: dict[int, float] = field(default_factory=dict)


class Tree(msgspec.Struct):
    leaf: bytes
    children: list[Tree] = msgspec.field(default_factory=list)
    age: timedelta | None = None


class OwnUtc(tzinfo):
    """UTC by another class, as ``ZoneInfo("UTC")`` is."""

    def utcoffset(self, moment):
        return timedelta(0)

    def tzname(self, moment):
        return "UTC"


class Model:
    """A class that msgspec knows nothing of, like a Django model."""


texts = st.text(max_size=8)
int64 = st.integers(-(2**63), 2**64 - 1)
utc = st.datetimes(timezones=st.just(timezone.utc)).map(lambda moment: moment.replace(fold=0))
rows = st.fixed_dictionaries({"id": int64, "tags": st.lists(texts, max_size=3)})
users = st.builds(
    User,
    id=int64,
    name=texts,
    joined=utc,
    price=st.decimals(allow_nan=False),
    key=st.uuids(),
    level=st.sampled_from(Level),
    place=st.builds(Place, int64, st.floats()),
    row=rows,
    days=st.sets(st.dates(), max_size=3),
    parent=st.none(),
    pair=st.tuples(int64, st.floats()),
    scores=st.dictionaries(int64, st.floats(), max_size=3),
)
trees = st.recursive(
    st.builds(Tree, leaf=st.binary(max_size=4), age=st.none() | st.timedeltas()),
    lambda inner: st.builds(Tree, leaf=st.binary(max_size=4), children=st.lists(inner, max_size=3)),
    max_leaves=5,
)


@patiently
@given(st.one_of(users, st.builds(lambda a, b: User(**{**vars(a), "parent": b}), users, users)))
def test_a_dataclass_of_many_types_comes_back_exactly(user):
    """Dates, decimals, UUIDs, enums, named tuples and nested classes keep their types."""
    codec = Msgspec(User)
    assert exact(codec.loads(codec.dumps(user))) == exact(user)


@patiently
@given(st.lists(trees, max_size=3))
def test_structs_come_back_exactly(forest):
    """A recursive msgspec.Struct is stored like anything else."""
    codec = Msgspec(list[Tree])
    assert repr(codec.loads(codec.dumps(forest))) == repr(forest)


@patiently
@given(values)
def test_without_precise_types_a_value_is_kept_exactly_or_refused(value):
    """A bare ``list`` says little; what would change on the way is not stored."""
    codec = Msgspec(list)
    try:
        payload = codec.dumps([value])
    except Unstorable:
        return
    assert exact(codec.loads(payload)) == exact([value])


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (list[int], (1, 2)),
        (tuple[int, ...], [1, 2]),
        (float, 1),
        (int, True),
        (int, None),
        (int, "1"),
        (list[float], [1.0, 2]),
        (dict, {"at": datetime(2024, 1, 1, tzinfo=timezone.utc), "id": UUID(int=7)}),
        (list, [(1, 2)]),
        (set[float], {1}),
        (datetime, datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        (datetime, datetime(2024, 1, 1, tzinfo=timezone(timedelta(0), "Zulu"))),
        (datetime, datetime(2024, 1, 1, tzinfo=OwnUtc())),
        (datetime, datetime(2024, 1, 1, fold=1)),  # noqa: DTZ001  # naive on purpose
        (list[int], [2**70]),
        (str, "\ud800"),
        (Row, {"id": 1, "tags": [], "more": 1}),
        (int, object()),
    ],
)
def test_a_value_that_is_not_what_the_annotation_says_is_refused(kind, value):
    """It would be one thing on the first call and another, or a miss, on every later one."""
    with pytest.raises(Unstorable, match="Make the annotation precise"):
        Msgspec(kind).dumps(value)


@pytest.mark.parametrize("value", [[float("nan")], [float("inf"), -0.0], []])
def test_special_floats_are_stored(value):
    """Not-a-number is unequal to itself and still the same value."""
    codec = Msgspec(list[float])
    assert exact(codec.loads(codec.dumps(value))) == exact(value)


near = st.recursive(
    st.sampled_from([0, False, 0.0, 1, True, 1.0, "1", b"1", Decimal(1), Decimal("1.0"), None]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.sampled_from([0, False, 1, 1.0, "1"]), inner, max_size=2)
        | st.sets(st.sampled_from([0, False, 1, 1.0, "1"]), max_size=2)
    ),
    max_leaves=3,
)


@patiently
@given(near, near)
def test_same_tells_equal_looking_values_apart(left, right):
    """It agrees with a slow comparison of everything that makes a difference."""
    assert same(left, right) is (exact(left) == exact(right))


@patiently
@given(values)
def test_a_copy_is_the_same(value):
    """Nothing that was not changed is taken for changed, not even not-a-number."""
    assert same(value, copy.deepcopy(value))


@pytest.mark.parametrize(
    ("left", "right"), [(1, True), ([1], [1.0]), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ({1}, {1.0})]
)
def test_equal_but_different_values_are_not_the_same(left, right):
    """Python's own equality is too lenient to promise that nothing changes."""
    assert left == right
    assert not same(left, right)


def test_a_changed_schema_is_a_miss():
    """After a deploy that adds a required field the old entry does not load."""

    @dataclass
    class Before:
        id: int

    @dataclass
    class After:
        id: int
        name: str

    data = Wire(Msgspec(Before)).encode(KEY, Before(1), **FIGURES)
    assert refusal(Wire(Msgspec(After)), data) == "unloadable"


@patiently
@given(st.binary(max_size=64))
def test_any_payload_is_read_or_refused(payload):
    """Random MessagePack under a valid checksum raises nothing but Unreadable."""
    wire = Wire(Msgspec(list[User]))
    data = Wire(Raw(id=Msgspec.id)).encode(KEY, payload, **FIGURES)
    assert outcome(wire, data) in {"read", "unloadable"}


def test_deeply_nested_bytes_do_not_crash_the_process():
    """A hundred thousand nested arrays are a miss."""
    data = Wire(Raw(id=Msgspec.id)).encode(KEY, b"\x91" * 100_000, **FIGURES)
    assert refusal(Wire(Msgspec(list)), data) == "unloadable"


def plain() -> list[Row]: ...
async def coroutine() -> list[Row]: ...
def awaitable() -> Awaitable[list[Row]]: ...
def returns_coroutine() -> Coroutine[Any, Any, list[Row]]: ...
def annotated() -> Annotated[list[Row], "from the database"]: ...
def only_return_counts(db: Unknown) -> list[Row]: ...


@functools.wraps(plain)
def wrapped(*args):
    return plain(*args)


class Service:
    @classmethod
    def of_class(cls) -> list[Row]: ...

    @staticmethod
    def static() -> list[Row]: ...

    def method(self) -> list[Row]: ...


@pytest.mark.parametrize(
    "function",
    [
        plain,
        coroutine,
        awaitable,
        returns_coroutine,
        annotated,
        only_return_counts,
        wrapped,
        functools.partial(plain),
        Service.of_class,
        Service.__dict__["of_class"],
        Service.__dict__["static"],
        Service().method,
    ],
)
def test_the_codec_is_typed_by_the_return_annotation(function):
    """However the function is written, what its callers get in the end counts."""
    codec = codec_for_annotation(function)
    assert codec.loads(codec.dumps([{"id": 1, "tags": ["a"]}])) == [{"id": 1, "tags": ["a"]}]
    with pytest.raises(Unstorable):
        codec.dumps([{"id": "not an int", "tags": []}])


def missing(): ...
def anything() -> Any: ...
def an_object() -> object: ...
def perhaps_anything() -> Any | None: ...
def variable() -> T: ...
def unknown_name() -> Unknown: ...
def model() -> Model: ...
def models() -> dict[str, list[Model]]: ...
def generator() -> Iterator[int]: ...
async def awaits_anything() -> Any: ...
def awaitable_of_object() -> Awaitable[object]: ...
async def gives_an_awaitable() -> Awaitable[int]: ...


@pytest.mark.parametrize(
    "function",
    [
        missing,
        anything,
        an_object,
        perhaps_anything,
        variable,
        unknown_name,
        model,
        models,
        generator,
        awaits_anything,
        awaitable_of_object,
        gives_an_awaitable,
        functools.partial(missing),
    ],
)
def test_an_annotation_that_is_not_usable_is_refused_at_decoration(function):
    """The message names the function; nothing is left to be found out at run time."""
    inner = getattr(function, "func", function)
    with pytest.raises(DeclarationError) as caught:
        codec_for_annotation(function)
    assert f"{__name__}.{inner.__name__}" in str(caught.value)


def test_the_advice_names_the_offending_class():
    """In a nested annotation one wants to know which part is wrong."""
    with pytest.raises(DeclarationError, match="cannot store a Model"):
        codec_for_annotation(models)


def test_a_coroutine_function_is_not_run_to_find_its_type():
    """Only the annotation is looked at."""

    async def explodes() -> list[int]:
        raise AssertionError

    codec = codec_for_annotation(explodes)
    assert codec.loads(codec.dumps([1])) == [1]
    with pytest.raises(AssertionError):
        asyncio.run(explodes())


def test_without_the_package_the_extra_is_named(monkeypatch):
    """The error tells which extra to install."""
    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(MissingExtra, match=r"cache-core\[msgspec\]"):
        Msgspec(int)


def test_the_repr_names_the_type():
    """A codec can be recognised in a listing of use cases."""
    assert repr(Msgspec(int)) == "Msgspec(int)"
    assert repr(Msgspec(list[int])) == "Msgspec(list[int])"
