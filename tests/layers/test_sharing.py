"""Copies of kept values, and noticing that a shared one was changed."""

from __future__ import annotations

import functools
import threading
from datetime import date
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from cache_core.errors import Unstorable
from cache_core.layers.sharing import check_reusable, copied, fingerprint, is_live, keep_copy
from cache_core.layers.size import weigh


class Remembering:
    """Has a value that is computed when it is first read."""

    def __init__(self, number):
        self.number = number

    @functools.cached_property
    def doubled(self):
        return self.number * 2


class State:
    """Has what Django's model state has: related objects that a read fills in."""

    fields_cache = None

    def __init__(self):
        self.fields_cache = {}
        self.adding = False


class Fickle:
    """Can be pickled, and cannot be loaded while *broken*."""

    broken = False

    def __setstate__(self, state):
        if Fickle.broken:
            raise RuntimeError("out of order")


values = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(values)
def test_a_copy_is_equal(value):
    """Out comes what went in, with or without being kept in between, any number of times."""
    kept = keep_copy(value)
    assert copied(value) == copied(kept) == copied(kept) == value


def test_nobody_sees_what_another_caller_does():
    """Neither the one who loaded the value nor those who got copies can change what is kept."""
    original = {"tags": ["a"]}
    kept = keep_copy(original)
    original["tags"].append("by the first caller")
    copied(kept)["tags"].append("by the second")
    assert copied(kept) == {"tags": ["a"]}


def test_parts_that_were_one_object_stay_one():
    """A copy keeps the inner structure of the value, cycles included."""
    part = ["a"]
    value = [part, part]
    value.append(value)
    copy = copied(keep_copy(value))
    assert copy[0] is copy[1] is not part
    assert copy[2] is copy


@pytest.mark.parametrize(
    "value", [None, 7, 1.5, "text", b"bytes", Decimal("1.5"), UUID(int=7), date(2024, 1, 1)]
)
def test_what_nobody_can_change_is_not_copied(value):
    """A plain unchangeable value is handed out as it is."""
    assert copied(value) is copied(keep_copy(value)) is value


def test_what_cannot_be_pickled_is_copied_in_another_way():
    """An instance of a local class is kept and handed out as a copy, too."""

    class Local:
        def __init__(self):
            self.tags = ["a"]

    original = Local()
    kept = keep_copy(original)
    original.tags.append("b")
    first, second = copied(kept), copied(kept)
    first.tags.append("c")
    assert second.tags == ["a"]
    assert type(first) is Local


UNCOPYABLE = {
    "lock": threading.Lock,
    "generator": lambda: (number for number in ()),
    "lock inside": lambda: [threading.Lock()],
}


@pytest.mark.parametrize("what", UNCOPYABLE)
def test_what_cannot_be_copied_is_refused_with_advice(what):
    """It is never silently shared between callers that were promised copies."""
    for copy in (keep_copy, copied):
        with pytest.raises(Unstorable, match="return plain data"):
            copy(UNCOPYABLE[what]())


def test_a_kept_copy_that_cannot_be_loaded_any_more_is_refused(monkeypatch):
    """A class that changes its mind yields one known error."""
    value = Fickle()
    value.attribute = 1
    kept = keep_copy(value)
    monkeypatch.setattr(Fickle, "broken", True)
    with pytest.raises(Unstorable, match="out of order"):
        copied(kept)


def test_a_kept_copy_is_weighed_by_its_bytes():
    """The local layer's limit sees the real size of a pickled value."""
    assert 10_000 < weigh(keep_copy(["x" * 10_000])) < 10_500


@given(values)
def test_an_untouched_value_has_one_fingerprint(value):
    """Looking twice gives the same digest, so an innocent caller is never accused."""
    assert fingerprint(value) == fingerprint(value)
    assert len(fingerprint(value)) == 16


CHANGES = {
    "item added": lambda value: value.rows.append(1),
    "order turned": lambda value: value.rows.reverse(),
    "key added": lambda value: value.by_name.update(c=1),
    "inner list grown": lambda value: value.by_name["a"].append(1),
    "set grown": lambda value: value.names.add("z"),
    "attribute set": lambda value: setattr(value, "title", "new"),
    "attribute removed": lambda value: delattr(value, "title"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_noticed(change):
    """Adding, replacing, removing and reordering change the fingerprint, at any depth."""
    value = SimpleNamespace(rows=[1, 2], by_name={"a": []}, names={"x", "y"}, title="old")
    before = fingerprint(value)
    assert before is not None
    CHANGES[change](value)
    assert fingerprint(value) != before


def test_reading_a_cached_property_is_not_a_change():
    """What an object merely remembers from being read does not count, its data does."""
    value = [Remembering(7)]
    before = fingerprint(value)
    assert value[0].doubled == 14
    assert fingerprint(value) == before
    value[0].number = 8
    assert fingerprint(value) != before


def test_following_a_relation_is_not_a_change():
    """A related object that was fetched through a model instance does not count."""
    value = State()
    before = fingerprint(value)
    value.fields_cache["author"] = object()
    assert fingerprint(value) == before
    value.adding = True
    assert fingerprint(value) != before


def test_what_cannot_be_pickled_has_no_fingerprint():
    """The watcher then stays silent instead of failing."""
    assert fingerprint(threading.Lock()) is None
    assert fingerprint([lambda: None]) is None


class Base(DeclarativeBase):
    """Of the mapped class below."""


class Row(Base):
    """Mapped by SQLAlchemy."""

    __tablename__ = "rows_of_sharing"
    id: Mapped[int] = mapped_column(primary_key=True)


class TestObjectsOfAnOrm:
    """What is copied unless somebody says otherwise."""

    @pytest.mark.parametrize("wrap", [lambda row: row, lambda row: [row], lambda row: {1: (row,)}])
    def test_a_mapped_object_is_live(self, wrap):
        """By itself, and in collections."""
        assert is_live(wrap(Row(id=1)))

    @pytest.mark.parametrize(
        "value", [None, 1, "text", [], {}, [{"id": 1}], (1, 2), SimpleNamespace(id=1), Decimal(1)]
    )
    def test_plain_data_is_not(self, value):
        """It is shared, as fast as can be."""
        assert not is_live(value)

    def test_a_query_is_refused(self):
        """Whoever reads it would ask the database in a transaction of his own."""
        with Session() as session, pytest.raises(Unstorable, match=r"query\.all\(\)"):
            check_reusable(session.query(Row))


class OddRow(dict):
    values = "a column of that name"


class ShyList(list):
    def __iter__(self):
        raise RuntimeError("not here")


class LiveModel:
    def refresh_from_db(self):
        """As Django's have."""


def test_any_collection_can_be_looked_into():
    """Also one that holds itself, and classes that do something else when they are gone through."""
    endless: list[object] = []
    endless.append(endless)
    assert not is_live(endless)
    assert not is_live(OddRow(a=1))
    assert not is_live(ShyList([1]))
    assert is_live(OddRow(a=[LiveModel()]))
