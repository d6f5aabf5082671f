from __future__ import annotations

import enum
import json
from collections import OrderedDict
from datetime import datetime, timezone, tzinfo
from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import Unstorable
from cache_core.wire import TaggedJson, Wire
from cache_core.wire.tagged_json import _READERS, MAX_DEPTH
from tests.wire.samples import FIGURES, KEY, Raw, exact, outcome, patiently, read, refusal, values

CODEC = TaggedJson()
WIRE = Wire(CODEC)


class Colour(enum.IntEnum):
    RED = 1


class Marked(str):
    __slots__ = ()


class OwnZone(tzinfo):
    def utcoffset(self, moment):
        return None


class Point(NamedTuple):
    x: int
    y: int


def forged(text):
    return Wire(Raw(id=CODEC.id)).encode(KEY, text.encode(), **FIGURES)


def nested(levels):
    value = []
    for _ in range(levels - 1):
        value = (value,)
    return value


@patiently
@given(values)
def test_every_supported_value_comes_back_exactly(value):
    """Types, order, signs, lone surrogates, folds and time zones are kept, at any depth."""
    assert exact(CODEC.loads(CODEC.dumps(value))) == exact(value)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2),
        [(1,), [2]],
        {"!": "taken for a mark"},
        {"!": ["tuple", 1]},
        {1: "int", "1": "str", (1,): "tuple", None: 0},
        {True: "bool"},
        "\ud83d\ude00",
        -0.0,
        [10**5000, "beside"],
        {"deep": {"down": [10**5000]}, "size": -(10**5000)},
        Decimal("sNaN123"),
        Decimal("-0.00"),
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=timezone.utc),
    ],
)
def test_values_that_plain_json_changes_come_back_exactly(value):
    """What the first caller got is what all later callers get (gcache defect D22)."""
    assert exact(CODEC.loads(CODEC.dumps(value))) == exact(value)


def test_ordinary_data_is_ordinary_json():
    """Any JSON tool can read the payload of plain data, and accents are not blown up."""
    value = {"id": 7, "name": "Zoë", "tags": ["a", "b"], "score": 1.5, "none": None}
    payload = CODEC.dumps(value)
    assert json.loads(payload) == value
    assert "Zoë".encode() in payload


def test_encoding_leaves_the_value_alone():
    """The caller's containers are not changed while they are written."""
    value = {"rows": [{"at": (1, 2)}], 3: {4}}
    before = exact(value)
    CODEC.dumps(value)
    assert exact(value) == before


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (object(), "builtins.object"),
        (Point(1, 2), "a plain tuple"),
        (Colour.RED, "a plain int"),
        (Marked("safe"), "a plain str"),
        (OrderedDict(a=1), "a plain dict"),
        (bytearray(b"x"), "bytearray"),
        ({"rows": [{"colour": Colour.RED}]}, "Colour"),
        ({Marked("key"): 1}, "Marked"),
        ([1, {2: [Point(1, 2)]}], "Point"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value, named):
    """The message names the type and says what to do instead."""
    with pytest.raises(Unstorable) as caught:
        CODEC.dumps(value)
    assert named in str(caught.value)
    assert "msgspec" in str(caught.value)


def test_a_time_zone_of_another_package_is_refused():
    """Only time zones that can be rebuilt exactly are stored."""
    with pytest.raises(Unstorable, match="zoneinfo"):
        CODEC.dumps([datetime(2024, 1, 1, tzinfo=OwnZone())])


def test_a_message_never_shows_the_value():
    """Values are private; a log line names types only."""
    with pytest.raises(Unstorable) as caught:
        CODEC.dumps({"password": Marked("hunter2")})
    assert "hunter2" not in str(caught.value)


def test_nesting_is_stored_up_to_the_limit():
    """One hundred levels come back, one more is refused with advice."""
    assert exact(CODEC.loads(CODEC.dumps(nested(MAX_DEPTH)))) == exact(nested(MAX_DEPTH))
    with pytest.raises(Unstorable, match="flatter"):
        CODEC.dumps(nested(MAX_DEPTH + 1))


def test_a_value_that_contains_itself_is_refused():
    """A cycle ends at the limit of depth instead of in the interpreter's."""
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(Unstorable, match="contains itself"):
        CODEC.dumps(cycle)


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"!":["tuple",'])
def test_deeply_nested_bytes_do_not_crash_the_process(opening):
    """A payload of a hundred thousand open brackets is a miss."""
    assert refusal(WIRE, forged(opening * 100_000)) == "unloadable"


@pytest.mark.parametrize(
    "text",
    [
        '{"!":["os.system","true"]}',
        '{"!":["__import__","os"]}',
        '{"!":["Signer",["x"]]}',
        '{"!":["tuple"],"more":1}',
        '{"!":[]}',
        '{"!":5}',
        '{"!":[["list"],1]}',
        '{"!":["set",[1]]}',
        '{"!":["dict",1]}',
        '{"!":["dict",[],1]}',
        '{"!":["bytes","?"]}',
        '{"!":["int","zz"]}',
        '{"!":["Decimal","1e"]}',
        '{"!":["timedelta",1e300]}',
        '{"!":["datetime","2024-01-01T00:00:00",7,null]}',
        '{"!":["datetime","2024-01-01T00:00:00",0,"../../etc/passwd"]}',
        '{"!":["datetime","2024-01-01T00:00:00",0,""]}',
        '{"!":["time","00:00:00",0,[1e300]]}',
        "1" * 5000,
        "[1",
        "",
        "nul",
    ],
)
def test_forged_payloads_are_refused(text):
    """Unknown names, wrong arguments and broken JSON all end as a miss."""
    assert refusal(WIRE, forged(text)) == "unloadable"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3) | st.just("!"), inner, max_size=3)
        | st.tuples(st.sampled_from([*_READERS, "list", "object"]), inner, inner).map(
            lambda tag: {"!": list(tag)}
        )
    ),
    max_leaves=12,
)


@patiently
@given(_JSON)
def test_any_json_is_read_or_refused(document):
    """Whatever a stranger puts together from JSON and tags, no other error gets out."""
    assert outcome(WIRE, forged(json.dumps(document))) in {"read", "unloadable"}


@patiently
@given(values)
def test_a_value_passes_through_a_whole_entry(value):
    """The codec and the envelope agree on what a payload is."""
    assert exact(read(WIRE, WIRE.encode(KEY, value, **FIGURES))) == exact(value)
