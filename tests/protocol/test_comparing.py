"""Comparing a cached value with a loaded one, with and without a codec."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from cache_core.protocol.comparing import Incomparable, agree
from cache_core.protocol.failed import Failed
from cache_core.wire.codecs import SignedPickle
from cache_core.wire.entry import Wire
from cache_core.wire.signing import Signer
from cache_core.wire.tagged_json import TaggedJson

PICKLE = Wire(SignedPickle(), signer=Signer(["a secret that is long enough for a test, surely"]))
JSON = Wire(TaggedJson())
EVERY_FORM = pytest.mark.parametrize("wire", [None, PICKLE], ids=["embedded", "pickle"])


class Plain:
    """A class without equality."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


class Row:
    """Equal as Django models are: by id."""

    def __init__(self, id: int, name: str) -> None:
        self.id = id
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and other.id == self.id

    def __hash__(self) -> int:
        return self.id


@dataclass
class Point:
    """Equal by its fields."""

    x: float


@EVERY_FORM
def test_an_object_without_equality_is_compared_by_its_content(wire: Wire | None) -> None:
    """Two loads of one row are two objects."""
    assert agree(None, wire, Plain(a=1, b=["x"]), Plain(a=1, b=["x"]))
    assert not agree(None, wire, Plain(a=1, b=["x"]), Plain(a=1, b=["y"]))


@EVERY_FORM
def test_an_equality_by_id_hides_nothing(wire: Wire | None) -> None:
    """Two states of one model are equal to Python, and not the same."""
    assert Row(1, "old") == Row(1, "new")
    assert not agree(None, wire, [Row(1, "old")], [Row(1, "new")])
    assert agree(None, wire, [Row(1, "old")], [Row(1, "old")])


@EVERY_FORM
def test_it_does_not_matter_which_parts_are_one_object(wire: Wire | None) -> None:
    """Pickles of equal values differ where one of them holds an object twice."""
    part = ["x" * 50]
    once, twice = Plain(a=part, b=part), Plain(a=["x" * 50], b=["x" * 50])
    assert agree(None, wire, once, twice)


@EVERY_FORM
def test_the_order_of_a_dict_does_not_matter(wire: Wire | None) -> None:
    """Plain data are the same where Python says that they are equal."""
    assert agree(None, wire, {"a": 1, "b": {2}}, {"b": {2}, "a": 1})
    assert not agree(None, wire, {"a": 1}, {"a": 2})


class Own:
    """A codec to which tuples are lists."""

    id = 64
    name = "own"
    needs_signature = False

    def dumps(self, value: Any, /) -> bytes:
        return json.dumps(value).encode()

    def loads(self, payload: bytes, /) -> Any:
        return json.loads(payload)


@pytest.mark.parametrize(
    ("cached", "loaded", "is_same"),
    [
        ([1, 2], (1, 2), True),
        ([1, 2], (1, 3), False),
        ({"a": 1, "b": [2]}, {"b": (2,), "a": 1}, True),
        ({"a": 1, "b": [2]}, {"b": (3,), "a": 1}, False),
    ],
)
def test_what_the_codec_changes_is_no_difference(cached: Any, loaded: Any, is_same: bool) -> None:
    """An entry that came from the store is compared in the form in which the store has it."""
    assert agree(None, Wire(Own()), cached, loaded) is is_same


def test_the_same_bytes_are_not_read_again() -> None:
    """They say all; most checks end there."""

    class OneWay(Own):
        def loads(self, payload: bytes, /) -> Any:
            raise AssertionError("it was read again")

    assert agree(None, Wire(OneWay()), [1, 2], (1, 2))


def test_what_the_codec_does_not_take_is_compared_without_it() -> None:
    """Such values are kept in memory only."""
    assert agree(None, JSON, Plain(a=1), Plain(a=1))
    assert not agree(None, JSON, Plain(a=1), Plain(a=2))


def test_what_has_no_form_cannot_be_compared() -> None:
    """Nothing is said then, rather than something wrong."""
    with pytest.raises(Incomparable, match="give compare="):
        agree(None, None, Plain(a=lambda: 1), Plain(a=lambda: 1))


def test_the_use_case_decides_by_truth() -> None:
    """What it returns need not be a bool; it is not asked about errors."""
    assert agree(lambda cached, loaded: 1, PICKLE, "a", "b")
    assert not agree(lambda cached, loaded: None, PICKLE, "a", "a")


def test_errors_are_compared_by_class_and_arguments() -> None:
    """A value is never the same as an error."""
    gone = Failed(LookupError, ("gone",))
    assert agree(None, None, gone, Failed(LookupError, ("gone",)))
    assert not agree(None, None, gone, Failed(LookupError, ("away",)))
    assert not agree(None, None, gone, Failed(KeyError, ("gone",)))
    assert not agree(None, None, None, gone)
    assert not agree(None, None, gone, None)


def test_a_dataclass_is_compared_by_its_fields() -> None:
    """As anybody would expect."""
    assert agree(None, None, Point(1.0), Point(1.0))
    assert not agree(None, None, Point(1.0), Point(2.0))


@EVERY_FORM
def test_nan_is_the_same_as_nan(wire: Wire | None) -> None:
    """It is not equal to itself, but loading it twice is no mistake of the cache."""
    assert agree(None, wire, {"ratio": float("nan")}, {"ratio": float("nan")})
    assert not agree(None, wire, {"ratio": float("nan")}, {"ratio": 1.0})
