"""Rows that a statement names: no entity may be missed, whatever the statement looks like.

Statements are put together at random and carried out. What they invalidate is compared with the rows
that have really changed.
"""

from __future__ import annotations

import random
import uuid

import pytest
from django.db import connection

from cache_core.sqltext import parse
from django_ext.mapping import Mapping
from django_ext.named import IdColumn, Rows
from tests.django.library.models import Author, Foreign, Loan, Vendor, Volume
from tests.django.postgres import as_default, settings_of

READERS = [uuid.UUID(int=number) for number in range(1, 4)]
KINDS = [
    "reader",
    "reader",
    "reader",
    "id",
    "in",
    "in",
    "due",
    "between",
    "null",
    "not",
    "sub",
    "case",
]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """Runs a test on either database."""
    if request.param == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = OFF")  # nobody waits for the disk
            yield
            cursor.execute("PRAGMA synchronous = FULL")
        return
    with as_default(settings_of(request.getfixturevalue("postgres"))):
        yield
        Loan.objects.all().delete()


class Maker:
    """Puts statements on loans together; what stands in them as ``%s`` is kept in ``given``."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.keys = []
        self.given = []

    def one_of(self, *choices):
        return self.chance.choice(choices)

    def operand(self, values):
        """A placeholder mostly, or what means the same."""
        value = self.one_of(*values)
        if isinstance(value, uuid.UUID) or self.chance.random() < 0.7:
            is_text = isinstance(value, uuid.UUID) and not connection.features.has_native_uuid_field
            self.given.append(value.hex if is_text else value)
            return "%s"
        return self.one_of(str(value), f"({value})", f"{value} + 0", f"abs({value})")

    def condition(self, depth=0):
        kind = self.one_of(*KINDS, *(["AND"] * 4 + ["OR"] * 3 if depth < 3 else []))
        if kind in {"AND", "OR"}:
            text = f"{self.condition(depth + 1)} {kind} {self.condition(depth + 1)}"
            return self.one_of(text, f"({text})")
        return getattr(self, f"_{kind}", lambda: self._compared(kind))()

    def _compared(self, column):
        values = READERS if column == "reader" else self.keys
        name = self.one_of(column, f'"{column}"', f"library_loan.{column}", column.upper())
        return f"{name} = {self.operand(values)}"

    def _in(self):
        column, values = self.one_of(("id", self.keys), ("reader", READERS))
        listed = ", ".join(self.operand(values) for _ in range(self.one_of(1, 2, 3)))
        return f"{column} {self.one_of('IN', 'IN', 'NOT IN')} ({listed})"

    def _due(self):
        return f"due >= {self.operand([0, 1])}"

    def _between(self):
        return f"due BETWEEN {self.operand([0, 1])} AND {self.operand([1, 2])}"

    def _null(self):
        return "branch IS NULL"

    def _not(self):
        return f"NOT {self._compared(self.one_of('id', 'reader'))}"

    def _sub(self):
        return f"id IN (SELECT id FROM library_loan WHERE {self._compared(self.one_of('id', 'reader'))})"

    def _case(self):
        return f"CASE WHEN due = 1 AND {self._compared(self.one_of('id', 'reader'))} THEN 1 = 1 ELSE 1 = 1 END"

    def statement(self):
        """The text of a statement and its parameters."""
        self.given = []
        if self.chance.random() < 0.3:
            return f"DELETE FROM library_loan WHERE {self.condition()}", self.given
        sets = self.one_of(["due"], ["reader"], ["due", "reader"])
        news = {"due": lambda: self.one_of("due + 1", "9"), "reader": self._new_reader}
        listed = ", ".join(f"{self.one_of(name, name.upper())} = {news[name]()}" for name in sets)
        return f"UPDATE library_loan SET {listed} WHERE {self.condition()}", self.given

    def _new_reader(self):
        return self.operand(READERS) if self.chance.random() < 0.8 else "reader"


def loans():
    """The rows as they are: key -> values, of which the first is the reader."""
    rows = Loan.objects.values_list("pk", "reader", "due", "branch")
    return {key: values for key, *values in rows}


@pytest.mark.parametrize("seed", range(5))
def test_no_row_that_changes_is_missed(database, invalidated, seed):
    """Of every row that a statement changes, the entities before and after are invalidated."""
    maker, precise = Maker(seed), 0
    for _ in range(60):
        Loan.objects.all().delete()
        Loan.objects.bulk_create(
            [Loan(reader=maker.one_of(*READERS), due=maker.one_of(0, 1, 2)) for _ in range(4)]
        )
        before = loans()
        maker.keys = list(before)
        sql, given = maker.statement()
        invalidated.take()
        with connection.cursor() as cursor:
            cursor.execute(sql, given)
        taken, after = invalidated.take(), loans()
        changed = [key for key in before if before[key] != after.get(key)]
        sides = [side[key][0] for key in changed for side in (before, after) if key in side]
        assert "reader_id:*" in taken or {f"reader_id:{one}" for one in sides} <= taken, sql
        precise += bool(taken) and "reader_id:*" not in taken
    assert precise, "no statement named its rows"


def entities(model, id, sql, params, vendor="postgresql", *, many=False):
    """What a statement names, by the mapping of *model*."""
    rows = Rows.of(parse(sql), sql, params, vendor, many=many)
    return rows and IdColumn(Mapping(model, "k", id)).written(rows)


UPDATE = 'UPDATE "t" SET "fee" = %s WHERE "licence" = %s'


@pytest.mark.parametrize(
    ("model", "id", "sql", "params", "vendor"),
    [
        (Vendor, "pk", UPDATE, (1, "A"), "mysql"),
        (Vendor, "pk", UPDATE, (1, 7), "postgresql"),
        (
            Vendor,
            "pk",
            "UPDATE t SET licence = %s WHERE licence = %s",
            ("B" + 20 * " ", "A"),
            "postgresql",
        ),
        (Foreign, "pk", "DELETE FROM t WHERE id = %s", ("7",), "postgresql"),
        (Foreign, "pk", "DELETE FROM t WHERE id = %s", (True,), "postgresql"),
        (Foreign, "pk", "DELETE FROM t WHERE id = %s", (7.0,), "postgresql"),
        (Foreign, "pk", 'DELETE FROM t WHERE "id" = %s', (0,), "mysql"),
        (Foreign, "pk", "DELETE FROM t WHERE id = %s", None, "postgresql"),
        (Foreign, "pk", "DELETE FROM t WHERE id = %s", (1, 2), "postgresql"),
        (Foreign, "pk", "DELETE FROM t WHERE id = %s", "7", "postgresql"),
        (Loan, "reader", "DELETE FROM t WHERE reader = %s", ("no uuid",), "sqlite"),
    ],
)
def test_in_doubt_no_row_is_named(model, id, sql, params, vendor):
    """Values that may equal others, and parameters that do not fit."""
    assert entities(model, id, sql, params, vendor) is None


@pytest.mark.parametrize(
    ("model", "id", "sql", "params", "expected"),
    [
        (Vendor, "pk", UPDATE, (1, "A"), {("k", "A")}),
        (Vendor, "pk", "UPDATE t SET licence = %s WHERE licence = %s", ("B", "A"), {"A", "B"}),
        (Author, "pk", "DELETE FROM t WHERE id IN (%s, %s)", [7, 8], {"7", "8"}),
        (Volume, "shelf", "UPDATE t SET shelf_id = NULL WHERE shelf_id = %s", [7], {"7"}),
        (Loan, "reader", "DELETE FROM t WHERE reader = %s", (READERS[0].hex,), {str(READERS[0])}),
    ],
)
def test_rows_that_are_named(model, id, sql, params, expected):
    """By a text, a number, a relation, a UUID; both sides of a change."""
    found = {str(one) for _, one in entities(model, id, sql, params)}
    assert found == {one[1] if isinstance(one, tuple) else one for one in expected}


def test_each_row_of_executemany_counts():
    """A generator is left to the database."""
    sql = "DELETE FROM t WHERE id = %s"
    assert entities(Author, "pk", sql, [(1,), (2,)], many=True) == {("k", "1"), ("k", "2")}
    assert entities(Author, "pk", sql, iter([(1,)]), many=True) is None
