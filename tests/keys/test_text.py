from __future__ import annotations

import enum
import re
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from functools import cached_property
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from cache_core.errors import UnkeyableValue
from cache_core.keys.text import (
    DEEPEST,
    RAW,
    argument_text,
    component_text,
    escape,
    id_text,
    mark,
    mark_id,
    unescape,
)

UUID_7 = UUID(int=7)
NOON = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - one without a zone
any_text = st.text(st.characters(codec=None), max_size=20)
nasty_text = st.text("a1é\ud800 ~._-%:&=?#{}(),/", max_size=8)

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | nasty_text
    | st.sampled_from(["1", "true", "~true", "None", "none", "~none", "a,b", "~list(1)", ""])
    | st.binary(max_size=3)
    | st.decimals().filter(lambda number: not number.is_snan())
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times()
    | st.timedeltas()
    | st.builds(range, st.integers(-2, 2), st.integers(-2, 2), st.sampled_from([-1, 1, 2]))
)
members = st.recursive(
    leaves.filter(lambda value: value == value),  # noqa: PLR0124 - a NaN is not equal to itself
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.sets(members, max_size=3)
        | st.frozensets(members, max_size=3)
        | st.dictionaries(members, inner, max_size=3)
        | st.dictionaries(members, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=8,
)


def meaning(value):  # noqa: PLR0911 - one line for each kind
    """What must be told apart, in a form that Python compares."""
    kind = type(value).__name__
    if isinstance(value, (list, tuple)):
        return kind, tuple(meaning(item) for item in value)
    if isinstance(value, (set, frozenset)):
        return kind, frozenset(meaning(item) for item in value)
    if isinstance(value, OrderedDict):
        return kind, tuple((meaning(key), meaning(item)) for key, item in value.items())
    if isinstance(value, dict):
        return kind, frozenset((meaning(key), meaning(item)) for key, item in value.items())
    if isinstance(value, (datetime, time)):
        return kind, value.isoformat(), value.fold, str(value.tzinfo)
    if isinstance(value, range):
        return kind, value.start, value.stop, value.step
    return kind, str(value) if isinstance(value, (float, Decimal)) else value


def split(text):
    """The parts between commas that stand in no inner bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [] if parts == [""] else parts


def split_pair(text):
    depth = 0
    for index, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "=" and not depth:
            return text[:index], text[index + 1 :]
    raise AssertionError(text)


READERS = {
    "str": str,
    "float": float,
    "bytes": bytes.fromhex,
    "decimal": Decimal,
    "uuid": UUID,
    "date": date.fromisoformat,
    "timedelta": lambda text: timedelta(*map(int, text.split("."))),
    "range": lambda text: range(*map(int, text.split("."))),
}
BRACKETS = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "ordereddict": OrderedDict,
}


def read_time(kind, text):
    text, *marks = text.split("~")
    moment = (datetime if kind == "datetime" else time).fromisoformat(text)
    if marks[:1] == ["fold"]:
        moment = moment.replace(fold=1)
        del marks[0]
    return moment.replace(tzinfo=ZoneInfo(unescape(marks[0]))) if marks else moment


def read(text, *, inner=False):  # noqa: PLR0911 - one step for each form
    """The value behind an argument's text: that it can be read shows that nothing is lost."""
    bracket = re.fullmatch(r"~(\w+)\((.*)\)", text, re.DOTALL)
    if bracket and bracket[1] in BRACKETS:
        make = BRACKETS[bracket[1]]
        parts = split(bracket[2])
        if issubclass(make, dict):
            pairs = [split_pair(part) for part in parts]
            return make((read(a, inner=True), read(b, inner=True)) for a, b in pairs)
        return make(read(part, inner=True) for part in parts)
    if text in {"~none", "~true", "~false"}:
        return {"~none": None, "~true": True, "~false": False}[text]
    tagged = re.fullmatch(r"~(\w+)\.(.*)", text, re.DOTALL)
    if tagged and tagged[1] in {"datetime", "time"}:
        return read_time(tagged[1], tagged[2])
    if tagged:
        escaped = inner and tagged[1] == "str"
        return READERS[tagged[1]](unescape(tagged[2]) if escaped else tagged[2])
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    return unescape(text) if inner else text


# -- escaping --------------------------------------------------------------------------------------


@given(any_text | nasty_text)
def test_escaped_text_comes_back(text):
    """Any text, lone surrogates included, survives; so no two texts share an escaped form."""
    assert unescape(escape(text)) == text


@given(any_text | nasty_text)
def test_escaped_text_holds_no_separator(text):
    """What is left is ASCII letters, digits, -._~ and the percent sign."""
    assert re.fullmatch(r"[A-Za-z0-9._~%-]*", escape(text))


@pytest.mark.parametrize("text", ["", "abc", "user_id", "3.10-rc~1"])
def test_clean_text_stays_as_it_is(text):
    """Texts of unreserved characters are not changed."""
    assert escape(text) is text


@pytest.mark.parametrize("text", ["a b", "%zz", "%", "%41", "%2f", "%FF", "é", "%C3%A9%"])
def test_only_escaped_text_is_unescaped(text):
    """Text that escape() cannot have made is refused rather than guessed at."""
    with pytest.raises(ValueError):
        unescape(text)


# -- ids -------------------------------------------------------------------------------------------


class UserId(int):
    pass


class Level(enum.IntEnum):
    HIGH = 7


class Word(str, enum.Enum):
    SEVEN = "7"


class OddUUID(UUID):
    def __str__(self):
        return "odd"


class OddText(str):
    __slots__ = ()

    def __str__(self):
        return "odd"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        ("7", "7"),
        (-7, "-7"),
        (UserId(7), "7"),
        (Markup("7"), "7"),
        (OddText("7"), "7"),
        (UUID_7, "00000000-0000-0000-0000-000000000007"),
        (OddUUID(int=7), "00000000-0000-0000-0000-000000000007"),
        ("", ""),
    ],
)
def test_an_id_is_canonical_text(value, text):
    """D21: ids of different types that name one entity have one text, and it is a plain str."""
    assert id_text(value) == text
    assert type(id_text(value)) is str


@pytest.mark.parametrize(
    "value",
    [None, True, 7.0, b"7", Level.HIGH, Word.SEVEN, Decimal(7), (7,), [7], object(), int, date.max],
)
def test_what_is_no_id_is_refused(value):
    """Anything that does not name an entity is refused with advice, and not shown."""
    with pytest.raises(
        UnkeyableValue, match=r"cannot be an entity id\. .*id_arg=\(name, callable\)"
    ):
        id_text(value)


def test_a_proxy_is_no_id():
    """A proxy claims to be a str, but stands for another one in the next request."""
    from werkzeug.local import LocalProxy

    with pytest.raises(UnkeyableValue, match="LocalProxy"):
        id_text(LocalProxy(lambda: "7"))


def test_an_endless_integer_is_refused():
    """An integer that Python does not write as text is unkeyable and not a ValueError."""
    with pytest.raises(UnkeyableValue, match="too long"):
        id_text(10**5000)
    with pytest.raises(UnkeyableValue, match="too long"):
        component_text(10**5000)


# -- arguments -------------------------------------------------------------------------------------


@given(values)
def test_an_argument_can_be_read_back(value):
    """Nothing is lost in the text, so no two arguments share one."""
    assert meaning(read(argument_text(value))) == meaning(value)


@given(values, values)
def test_texts_agree_exactly_when_the_meanings_do(one, other):
    """Two arguments share a text if and only if they are of one type and equal."""
    assert (argument_text(one) == argument_text(other)) is (meaning(one) == meaning(other))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("en", "en"),
        ("1", "~str.1"),
        ("", "~str."),
        ("~true", "~str.~true"),
        (1, "1"),
        (-1, "-1"),
        (True, "~true"),
        (None, "~none"),
        (1.0, "~float.1.0"),
        (-0.0, "~float.-0.0"),
        (float("nan"), "~float.nan"),
        (b"\x00a", "~bytes.0061"),
        (Decimal("1.50"), "~decimal.1.50"),
        (UUID_7, "~uuid.00000000-0000-0000-0000-000000000007"),
        (date(2026, 1, 31), "~date.2026-01-31"),
        (NOON, "~datetime.2026-01-31T12:00:00"),
        (
            datetime(2026, 1, 31, 12, tzinfo=timezone.utc, fold=1),
            "~datetime.2026-01-31T12:00:00+00:00~fold~UTC",
        ),
        (time(12, 30), "~time.12:30:00"),
        (timedelta(1, 2, 3), "~timedelta.1.2.3"),
        (range(3), "~range.0.3.1"),
        ([1, "a,b"], "~list(1,a%2Cb)"),
        ((), "~tuple()"),
        ({"b": 1, "a": [2]}, "~dict(a=~list(2),b=1)"),
        ({3, 1}, "~set(1,3)"),
        (Level.HIGH, f"~enum.{__name__}:Level.HIGH"),
        (UserId(7), f"~object({__name__}:UserId,7)"),
    ],
)
def test_texts_never_change(value, text):
    """The texts are part of what lies in stores: they are those of every release before."""
    assert argument_text(value) == text


def test_equal_dicts_in_another_order_agree():
    """The order in which a dict or set was filled is no difference."""
    one, other = {"a": 1, "b": {2, 3}}, {"b": {3, 2}, "a": 1}
    assert argument_text(one) == argument_text(other)


def test_the_order_of_an_ordered_dict_counts():
    """OrderedDicts in another order are not equal, nor is one a plain dict."""
    one, other = OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)
    assert len({argument_text(value) for value in (one, other, dict(one))}) == 3


def test_one_moment_in_two_zones_is_two_arguments():
    """Equal moments and even equal offsets do not make two zones one."""
    moment = datetime(2026, 1, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))
    berlin = moment.replace(tzinfo=ZoneInfo("Europe/Berlin"))
    fixed = moment.replace(tzinfo=timezone(timedelta(hours=1)))
    assert len({argument_text(each) for each in (moment, berlin, fixed)}) == 3


def test_the_hour_that_comes_twice_is_two_arguments():
    """When the clock is set back, fold tells the two hours apart."""
    assert argument_text(NOON) != argument_text(NOON.replace(fold=1))


def test_a_decimal_does_not_depend_on_the_context():
    """The context of the thread decides on e or E; the key does not."""
    number = Decimal("1E+9")
    with localcontext() as context:
        context.capitals = 0
        lower = argument_text(number)
    assert lower == argument_text(number)


# -- subclasses and objects ------------------------------------------------------------------------


class Row(NamedTuple):
    id: int
    name: str


OtherRow = namedtuple("Row", "name id")  # noqa: PYI024 - two of one name is the subject


class Plain(str):  # noqa: SLOT000 - as users write it
    pass


class Slotted(str):
    __slots__ = ("more",)


class Pickling(int):
    def __reduce__(self):
        return int, (0,)


class PicklingAnew(int):
    def __reduce_ex__(self, protocol):
        return int, (0,)


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Page:
    number: int
    size: int = 10

    @cached_property
    def offset(self):
        return self.number * self.size


@dataclass(frozen=True)
class OtherPage:
    number: int
    size: int = 10


@dataclass(frozen=True)
class Hiding:
    number: int

    def __post_init__(self):
        object.__setattr__(self, "hidden", id(self))


class Undeclared(Page):
    pass


@dataclass
class Changing:
    number: int = 1


@dataclass(frozen=True)
class Holding:
    items: list = field(default_factory=list)


class Token:
    def __init__(self, token):
        self.token = token

    def __cache_key__(self):
        return self.token


class OtherToken(Token):
    pass


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Markup("<b>"), "<b>"),
        (Plain("a"), "a"),
        (UserId(7), 7),
        (Level.HIGH, 7),
        (Word.SEVEN, "7"),
        (Permission.READ, Permission.READ | Permission.WRITE),
        (Row(1, "a"), (1, "a")),
        (Row(1, "a"), OtherRow(1, "a")),
        (Page(1), OtherPage(1)),
        (Page(1), Page(2)),
        (Token("a"), "a"),
        (Token("a"), OtherToken("a")),
        (Token("a"), Token(("a",))),
        (NOON, NOON.date()),
    ],
)
def test_a_class_of_its_own_is_told_apart(one, other):
    """A subclass does not share a text with its base, nor one class with another."""
    assert argument_text(one) != argument_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Row(1, "a"), Row(1, "a")),
        (Page(1), Page(1, 10)),
        (Holding([1]), Holding([1])),
        (Token((1, "a")), Token((1, "a"))),
        (Markup("a"), Markup("a")),
        (Permission.READ | Permission.WRITE, Permission(3)),
        (OddUUID(int=7), UUID_7),
    ],
)
def test_equal_objects_agree(one, other):
    """Objects of one class with equal contents share a text; a UUID is its number."""
    assert argument_text(one) == argument_text(other)


def test_a_cached_property_is_no_hidden_state():
    """What a frozen dataclass computed from its fields does not change its text."""
    page = Page(2)
    before = argument_text(page)
    assert page.offset == 20
    assert argument_text(page) == before


def test_an_overridden_method_cannot_hide_items():
    """A subclass is read as its base type reads it, as with web frameworks' multi-dicts."""

    class Last(dict):
        def items(self):
            return []

    assert argument_text(Last(a=1)) != argument_text(Last(a=2))


class Stateful(str):  # noqa: SLOT000 - its attributes are the subject
    def __new__(cls, text, more):
        self = super().__new__(cls, text)
        self.more = more
        return self


slotted = Slotted("a")
slotted.more = 1


@pytest.mark.parametrize(
    "value",
    [
        object(),
        int,
        len,
        lambda: 1,
        Stateful("a", 1),
        slotted,
        Pickling(1),
        PicklingAnew(1),
        defaultdict(list),
        Counter("a"),
        Changing(),
        Hiding(1),
        Undeclared(1),
        Holding([object()]),
        Token(object()),
        bytearray(b"a"),
        memoryview(b"a"),
        1j,
        iter([1]),
        {"a": object()},
        {1: {2: [object()]}},
    ],
)
def test_what_has_no_stable_text_is_refused(value):
    """D3: never an address. Objects, and subclasses that may hold more, are refused with advice."""
    with pytest.raises(UnkeyableValue, match=r"has no stable text.*arg_adapters.*__cache_key__"):
        argument_text(value)


def test_the_error_names_type_and_argument_but_no_value():
    """The message says which argument and what it is; values may be secret."""

    class Secret:
        def __repr__(self):
            return "hunter2"

    with pytest.raises(UnkeyableValue, match=r"^Argument 'user'.*test_text.*Secret") as caught:
        mark(Secret(), "user")
    assert "hunter2" not in str(caught.value)


def test_a_container_that_contains_itself_is_refused():
    """A cycle ends in UnkeyableValue and not in RecursionError."""
    cycle = [1]
    cycle.append({"again": cycle})
    with pytest.raises(UnkeyableValue, match="contains itself"):
        argument_text(cycle)


def test_an_object_whose_key_is_itself_is_refused():
    """__cache_key__ returning its own object is a cycle too."""

    class Mirror:
        def __cache_key__(self):
            return self

    with pytest.raises(UnkeyableValue, match="contains itself"):
        argument_text(Mirror())


@pytest.mark.parametrize(("depth", "fits"), [(DEEPEST, True), (DEEPEST + 1, False)])
def test_nesting_has_a_limit(depth, fits):
    """Containers may be nested as deep as documented and not deeper."""
    value = 1
    for _ in range(depth):
        value = [value]
    if fits:
        assert argument_text(value).count("~list(") == depth
    else:
        with pytest.raises(UnkeyableValue, match="nested"):
            argument_text(value)


# -- items of local keys ---------------------------------------------------------------------------


@given(values)
def test_an_item_turns_into_the_argument_text(value):
    """A raw value or a mark gives the same text as the argument itself."""
    item = value if type(value) in RAW else mark(value)
    assert component_text(item) == argument_text(value)


@given(values, values)
def test_items_are_equal_exactly_when_the_texts_are(one, other):
    """The local layer tells calls apart as the remote layer does: 1, True and 1.0 differ."""
    items = [value if type(value) in RAW else mark(value) for value in (one, other)]
    assert len(set(items)) == len({argument_text(value) for value in (one, other)})


def test_a_marked_id_is_its_text():
    """An id of another type is marked by its canonical text, as a plain str."""
    assert (mark_id(Markup("7")), type(mark_id(Markup("7")))) == ("7", str)
    with pytest.raises(UnkeyableValue, match=r"^Argument 'user_id': None cannot"):
        mark_id(None, "user_id")
