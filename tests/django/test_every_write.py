"""Every way to write a row invalidates, on SQLite and PostgreSQL, in autocommit and in a transaction.

Each row of the table is a generator: what comes before its first ``yield`` prepares, then it writes,
and at the end it yields what has to be invalidated. A ``*`` stands for every entity of a key type.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.apps import apps
from django.core import serializers
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.migrations.state import ProjectState
from django.db.models import F
from django.db.models.functions import Concat

from tests.django.library.models import (
    Author,
    Book,
    Bookshop,
    Club,
    Draft,
    Loaf,
    Loan,
    Membership,
    Novel,
    Parcel,
    Place,
    Shelf,
    Shop,
    Slice,
    Tag,
    Volume,
)
from tests.django.postgres import as_default, settings_of

WRITES = {}
ONLY_POSTGRES = set()
BOOKS = {"book_id:*", "author_id:*"}
VOLUMES = {"volume_id:*", "shelf_id:*"}
SHOPS = {"place_id:*", "shop_id:*", "city:*"}


def write(name, *, only=None):
    """Adds a row to the table."""

    def add(steps):
        WRITES[name] = steps
        if only is not None:
            ONLY_POSTGRES.add(name)
        return steps

    return add


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """Runs a test on either database, and leaves it empty."""
    if request.param == "sqlite":
        yield request.param
        return
    server = request.getfixturevalue("postgres")
    with as_default(settings_of(server)):
        yield request.param
        with connection.cursor() as cursor:
            deletes = "; ".join(f"DELETE FROM {table}" for table in tables())
            # Faster than TRUNCATE, which makes new files; foreign keys are not looked at.
            cursor.execute(f"SET session_replication_role = replica; {deletes}")


def tables():
    models = apps.get_app_config("library").get_models(include_auto_created=True)
    return sorted({model._meta.db_table for model in models if model._meta.managed})


def author(**values):
    return Author.objects.create(name="a", **values)


def book(**values):
    return Book.objects.create(title="b", **values)


# Instances.


@write("save() of a new row")
def _():
    yield
    yield {f"author_id:{author().pk}"}


@write("save() of an existing row")
def _():
    one = author()
    yield
    one.save()
    yield {f"author_id:{one.pk}"}


@write("save(update_fields=[...])")
def _():
    one = author()
    yield
    one.save(update_fields=["name"])
    yield {f"author_id:{one.pk}"}


@write("save(update_fields=[])")
def _():
    one = author()
    yield
    one.save(update_fields=[])
    yield set()


@write("save() with F()")
def _():
    one = Loan.objects.create(branch=1, due=1)
    yield
    one.due = F("due") + 1
    one.branch = None
    one.save()
    yield {f"reader_id:{one.reader}", "branch_id:1", "branch_id:due1"}


@write("get_or_create() that finds a row")
def _():
    author()
    yield
    Author.objects.get_or_create(name="a")
    yield set()


@write("get_or_create() that makes a row")
def _():
    yield
    yield {f"author_id:{Author.objects.get_or_create(name='a')[0].pk}"}


@write("update_or_create() of an existing row")
def _():
    one = author()
    yield
    Author.objects.update_or_create(pk=one.pk, defaults={"name": "b"})
    yield {f"author_id:{one.pk}"}


@write("delete() of an instance")
def _():
    one = author()
    key = one.pk
    yield
    one.delete()
    yield {f"author_id:{key}"}


@write("asave(), acreate(), adelete()")
def _():
    one = author()
    key = one.pk
    yield

    async def run():
        await one.asave()
        other = await Author.objects.acreate(name="b")
        await one.adelete()
        return other.pk

    yield {f"author_id:{key}", f"author_id:{async_to_sync(run)()}"}


# Querysets.


@write("QuerySet.update()")
def _():
    author()
    yield
    Author.objects.update(name="b")
    yield {"author_id:*"}


@write("QuerySet.update() of one row")
def _():
    one = author()
    yield
    Author.objects.filter(pk=one.pk, name__gte="a").update(name="b")
    yield {f"author_id:{one.pk}"}


@write("QuerySet.update() of some rows, computed")
def _():
    keys = [author().pk, author().pk]
    yield
    Author.objects.filter(pk__in=keys).update(name=Concat("name", "name"))
    yield {f"author_id:{key}" for key in keys}


@write("QuerySet.update() that moves rows")
def _():
    one, other = author(), author()
    book(author=one)
    yield
    Book.objects.filter(author=one).update(author=other)
    yield {"book_id:*", f"author_id:{one.pk}", f"author_id:{other.pk}"}


@write("QuerySet.update() of one row, mapped by another column")
def _():
    one = book(author=author())
    yield
    Book.objects.filter(pk=one.pk).update(title="c")
    yield {f"book_id:{one.pk}", "author_id:*"}


@write("QuerySet.update() that joins")
def _():
    one = author()
    book(author=one)
    yield
    Book.objects.filter(author__name="a", author_id=one.pk).update(title="c")
    yield BOOKS


@write("QuerySet.update() of rows by a UUID")
def _():
    one = Loan.objects.create(branch=1)
    yield
    Loan.objects.filter(reader=one.reader).update(due=2)
    yield {f"reader_id:{one.reader}", "branch_id:*"}


@write("_raw_delete() of one row")
def _():
    one = author()
    yield
    rows = Author.objects.filter(pk=one.pk)
    rows._raw_delete(rows.db)
    yield {f"author_id:{one.pk}"}


@write("raw SQL on one row")
def _():
    one = author()
    yield
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_author SET name = %s WHERE id = %s", ["b", one.pk])
    yield {f"author_id:{one.pk}"}


@write("executemany()")
def _():
    keys = [author().pk, author().pk]
    yield
    with connection.cursor() as cursor:
        rows = [("b", key) for key in keys]
        cursor.executemany("UPDATE library_author SET name = %s WHERE id = %s", rows)
    yield {f"author_id:{key}" for key in keys}


@write("raw SQL with parameters by name")
def _():
    one = author()
    yield
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_author SET name = 'b' WHERE id = %(id)s", {"id": one.pk})
    yield {"author_id:*"}


@write("QuerySet.update() with F()")
def _():
    Loan.objects.create()
    yield
    Loan.objects.update(due=F("due") + 1)
    yield {"reader_id:*", "branch_id:*"}


@write("QuerySet.update() of no row")
def _():
    yield
    Author.objects.update(name="b")
    yield set()


@write("QuerySet.aupdate()")
def _():
    author()
    yield

    async def run():
        await Author.objects.aupdate(name="b")

    async_to_sync(run)()
    yield {"author_id:*"}


@write("bulk_create()")
def _():
    yield
    Author.objects.bulk_create([Author(name="a"), Author(name="b")])
    yield {"author_id:*"}


@write("bulk_create(ignore_conflicts=True)")
def _():
    one = author()
    yield
    Author.objects.bulk_create([Author(pk=one.pk), Author(name="b")], ignore_conflicts=True)
    yield {"author_id:*"}


@write("bulk_create(update_conflicts=True)")
def _():
    one = author()
    yield
    Author.objects.bulk_create(
        [Author(pk=one.pk, name="b")],
        update_conflicts=True,
        unique_fields=["pk"],
        update_fields=["name"],
    )
    yield {"author_id:*"}


@write("abulk_create()")
def _():
    yield

    async def run():
        await Author.objects.abulk_create([Author(name="a")])

    async_to_sync(run)()
    yield {"author_id:*"}


@write("bulk_update()")
def _():
    one = author()
    yield
    Author.objects.bulk_update([one], ["name"])
    yield {f"author_id:{one.pk}"}


@write("QuerySet.delete() of a tracked model")
def _():
    keys = [author().pk, author().pk]
    yield
    Author.objects.all().delete()
    yield {f"author_id:{key}" for key in keys}


@write("QuerySet.delete() of more rows than fit in one statement")
def _():
    Author.objects.bulk_create([Author(name="a") for _ in range(250)])
    keys = list(Author.objects.values_list("pk", flat=True))
    yield
    Author.objects.all().delete()
    yield {f"author_id:{key}" for key in keys}


@write("_raw_delete()")
def _():
    author()
    yield
    rows = Author.objects.all()
    rows._raw_delete(rows.db)
    yield {"author_id:*"}


# What goes along with a deletion.


@write("CASCADE")
def _():
    one = author()
    other = book(author=one)
    yield
    names = {f"author_id:{one.pk}", f"book_id:{other.pk}"}
    one.delete()
    yield names


@write("CASCADE over an automatic through table")
def _():
    tag = Tag.objects.create(word="x")
    book().tags.add(tag)
    yield
    tag.delete()
    yield BOOKS


@write("deletion of a tag that nobody uses")
def _():
    tag = Tag.objects.create(word="x")
    yield
    tag.delete()
    yield set()


@write("SET_NULL")
def _():
    shelf = Shelf.objects.create(label="s")
    Volume.objects.create(shelf=shelf)
    yield
    left = shelf.pk
    shelf.delete()
    yield {"volume_id:*", f"shelf_id:{left}"}


@write("DB_CASCADE")
def _():
    loaf = Loaf.objects.create(name="l")
    key = Slice.objects.create(loaf=loaf).pk
    yield
    loaf.delete()
    yield {"slice_id:*"} if hasattr(models, "DB_CASCADE") else {f"slice_id:{key}"}


# Many-to-many relations.


@write("m2m add()")
def _():
    one, tag = book(), Tag.objects.create(word="x")
    yield
    one.tags.add(tag)
    yield {f"book_id:{one.pk}"}


@write("m2m add() of what is there")
def _():
    one, tag = book(), Tag.objects.create(word="x")
    one.tags.add(tag)
    yield
    one.tags.add(tag)
    yield {f"book_id:{one.pk}"}


@write("m2m remove()")
def _():
    one, tag = book(), Tag.objects.create(word="x")
    one.tags.add(tag)
    yield
    one.tags.remove(tag)
    yield {f"book_id:{one.pk}"}


@write("m2m set()")
def _():
    one, old, new = book(), Tag.objects.create(word="x"), Tag.objects.create(word="y")
    one.tags.add(old)
    yield
    one.tags.set([new])
    yield {f"book_id:{one.pk}"}


@write("m2m clear()")
def _():
    one = book()
    one.tags.add(Tag.objects.create(word="x"))
    yield
    one.tags.clear()
    yield {f"book_id:{one.pk}"}


@write("m2m add() in reverse")
def _():
    one, tag = book(author=author()), Tag.objects.create(word="x")
    yield
    tag.books.add(one)
    yield {f"book_id:{one.pk}", f"author_id:{one.author_id}"}


@write("m2m remove() in reverse")
def _():
    one, tag = book(), Tag.objects.create(word="x")
    tag.books.add(one)
    yield
    tag.books.remove(one)
    yield {f"book_id:{one.pk}"}


@write("m2m clear() in reverse")
def _():
    one, tag = book(), Tag.objects.create(word="x")
    tag.books.add(one)
    yield
    tag.books.clear()
    yield {f"book_id:{one.pk}"}


@write("m2m add() with a through model")
def _():
    club, one = Club.objects.create(name="c"), author()
    yield
    club.members.add(one)
    yield {f"club_id:{club.pk}", f"author_id:{one.pk}", "members_of:*"}


@write("m2m remove() with a through model")
def _():
    club, one = Club.objects.create(name="c"), author()
    club.members.add(one)
    yield
    club.members.remove(one)
    yield {f"club_id:{club.pk}", f"author_id:{one.pk}", f"members_of:{club.pk}"}


@write("save() of a through model")
def _():
    club, one = Club.objects.create(name="c"), author()
    yield
    Membership.objects.create(club=club, author=one)
    yield {f"members_of:{club.pk}"}


@write("bulk_create() of an automatic through model")
def _():
    one, tag = book(), Tag.objects.create(word="x")
    yield
    through = Book.tags.through
    through.objects.bulk_create([through(book=one, tag=tag)])
    yield BOOKS


@write("QuerySet.delete() of an automatic through model")
def _():
    book().tags.add(Tag.objects.create(word="x"))
    yield
    Book.tags.through.objects.all().delete()
    yield BOOKS


# Reverse foreign keys.


@write("reverse foreign key add()")
def _():
    shelf, volume = Shelf.objects.create(label="s"), Volume.objects.create()
    yield
    shelf.volumes.add(volume)
    yield {f"volume_id:{volume.pk}", "shelf_id:*"}


@write("reverse foreign key add(bulk=False)")
def _():
    shelf, volume = Shelf.objects.create(label="s"), Volume.objects.create()
    yield
    shelf.volumes.add(volume, bulk=False)
    yield {f"volume_id:{volume.pk}", f"shelf_id:{shelf.pk}"}


@write("reverse foreign key remove()")
def _():
    shelf = Shelf.objects.create(label="s")
    volume = Volume.objects.create(shelf=shelf)
    yield
    shelf.volumes.remove(volume)
    yield {f"volume_id:{volume.pk}", f"shelf_id:{shelf.pk}"}


@write("reverse foreign key clear()")
def _():
    shelf = Shelf.objects.create(label="s")
    Volume.objects.create(shelf=shelf)
    yield
    shelf.volumes.clear()
    yield {"volume_id:*", f"shelf_id:{shelf.pk}"}


@write("set_<model>_order()")
def _():
    shelf = Shelf.objects.create(label="s")
    keys = [Volume.objects.create(shelf=shelf).pk for _ in range(2)]
    yield
    shelf.set_volume_order(keys[::-1])
    yield {*[f"volume_id:{key}" for key in keys], f"shelf_id:{shelf.pk}"}


# Relatives.


@write("save() of a proxy")
def _():
    yield
    yield {f"book_id:{Novel.objects.create(title='n').pk}"}


@write("QuerySet.update() of a proxy")
def _():
    book()
    yield
    Novel.objects.update(title="m")
    yield BOOKS


@write("save() of a multi-table child")
def _():
    one = Shop.objects.create(city="Bath")
    yield
    one.save()
    yield {f"place_id:{one.pk}", f"shop_id:{one.pk}", "city:Bath"}


@write("save() of a multi-table parent")
def _():
    key = Shop.objects.create(city="Bath").pk
    place = Place.objects.get(pk=key)
    yield
    place.save()
    yield {f"place_id:{key}", f"shop_id:{key}", "city:Bath"}


@write("delete() of a multi-table child")
def _():
    one = Bookshop.objects.create(city="Bath")
    names = {f"place_id:{one.pk}", f"shop_id:{one.pk}", "city:Bath"}
    yield
    one.delete()
    yield names


@write("QuerySet.update() of a child, by a field of its parent")
def _():
    shop = Shop.objects.create(city="Bath")
    yield
    Shop.objects.update(city="Ely")  # Django looks up the keys of the parents first
    yield {f"place_id:{shop.pk}", "shop_id:*", "city:*"}


@write("QuerySet.update() of a parent")
def _():
    Shop.objects.create(city="Bath")
    yield
    Place.objects.update(city="Ely")
    yield SHOPS


@write("QuerySet.update() of a grandchild")
def _():
    Bookshop.objects.create(city="Bath")
    yield
    Bookshop.objects.update(shelves=2)
    yield SHOPS


# Generic relations.


@write("create() through a generic relation")
def _():
    club = Club.objects.create(name="c")
    yield
    club.notes.create()
    yield {f"notes_of:club-{club.pk}"}


@write("CASCADE over a generic relation")
def _():
    club = Club.objects.create(name="c")
    club.notes.create()
    yield
    names = {f"notes_of:club-{club.pk}", f"club_id:{club.pk}"}
    club.delete()
    yield names


@write("a note that moves to something else")
def _():
    one, other = Club.objects.create(name="c"), author()
    note = one.notes.create()
    yield
    note.about = other
    note.save()
    yield {f"notes_of:club-{one.pk}", f"notes_of:author-{other.pk}"}


# Commands and migrations.


@write("loaddata")
def _():
    one = author()
    one.name = "b"
    text = serializers.serialize("json", [one])
    yield
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    yield {f"author_id:{one.pk}"}


@write("flush")
def _():
    yield
    statements = connection.ops.sql_flush(no_style(), tables())
    connection.ops.execute_sql_flush(statements)
    # SQLite tells how many rows are gone, and none were there; PostgreSQL truncates.
    yield EVERYTHING - OVERRIDES if connection.vendor == "postgresql" else set()


@write("a data migration")
def _():
    historical = migration_state().apps.get_model("library", "Author")
    yield
    historical.objects.create(name="b")
    yield {"author_id:*"}


@write("a data migration that saves a row")
def _():
    one = author()
    historical = migration_state().apps.get_model("library", "Author")
    yield
    historical.objects.get().save()
    yield {f"author_id:{one.pk}"}


@write("a schema migration")
def _():
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE library_author ADD COLUMN extra integer")
        cursor.execute("ALTER TABLE library_author DROP COLUMN extra")
    yield {"author_id:*"}


# SQL.


@write("raw SQL")
def _():
    author()
    yield
    with connection.cursor() as cursor:
        cursor.execute("update library_author set name = 'b' where name = %s", ["a"])
    yield {"author_id:*"}


@write("raw SQL that writes nothing")
def _():
    author()
    yield
    with connection.cursor() as cursor:
        cursor.execute("/* insert into library_author */ SELECT name FROM library_author")
        cursor.execute("UPDATE library_author SET name = 'b' WHERE name = 'c'")
        cursor.execute("INSERT INTO library_tag (word) VALUES ('update library_author')")
    yield set()


@write("executemany()")
def _():
    yield
    with connection.cursor() as cursor:
        cursor.executemany("INSERT INTO library_author (name) VALUES (%s)", [["a"], ["b"]])
    yield {"author_id:*"}


@write("a write inside WITH", only="postgresql")
def _():
    author()
    yield
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH gone AS (DELETE FROM public.library_author RETURNING name) SELECT * FROM gone"
        )
    yield {"author_id:*"}


@write("a DO block", only="postgresql")
def _():
    yield
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN EXECUTE 'UPDATE library_author SET name = name'; END $$")
    yield EVERYTHING


@write("a text composed by psycopg", only="postgresql")
def _():
    from psycopg import sql

    author()
    yield
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("library_author")))
    yield {"author_id:*"}


@write("bytes", only="postgresql")
def _():
    author()
    yield
    with connection.cursor() as cursor:
        cursor.execute(b"DELETE FROM library_author")
    yield {"author_id:*"}


# What track() may say.


@write('bulk="ignore"')
def _():
    draft = Draft.objects.create(text="d")
    yield
    Draft.objects.update(text="e")
    draft.save()
    yield {f"draft_id:{draft.pk}"}


@write('QuerySet.update() with bulk="select"')
def _():
    one = Parcel.objects.create(town="Bath", weight=1)
    Parcel.objects.create(town="Ely", weight=2)
    yield
    Parcel.objects.filter(weight=1).update(weight=3)
    yield {f"parcel_id:{one.pk}", "town:Bath"}


@write('QuerySet.update() of a mapped field with bulk="select"')
def _():
    one = Parcel.objects.create(town="Bath")
    yield
    Parcel.objects.filter(pk=one.pk).update(town="Ely")
    yield {f"parcel_id:{one.pk}", "town:Bath", "town:Ely"}


@write('bulk_create() and bulk_update() with bulk="select"')
def _():
    yield
    one, other = Parcel.objects.bulk_create([Parcel(town="Bath"), Parcel(town="Ely")])
    one.town = "Wells"
    Parcel.objects.bulk_update([one], ["town"])
    keys = {f"parcel_id:{one.pk}", f"parcel_id:{other.pk}"}
    yield keys | {"town:Bath", "town:Ely", "town:Wells"}


@write('raw SQL with bulk="select"')
def _():
    Parcel.objects.create(town="Bath")
    yield
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_parcel SET weight = 2")
    yield {"parcel_id:*", "town:*"}


OVERRIDES = {"cache_core_override:*"}
EVERYTHING = {
    *(BOOKS | VOLUMES | SHOPS),
    *("stall_id:*", "reader_id:*", "branch_id:*", "club_id:*", "members_of:*", "notes_of:*"),
    *("parcel_id:*", "town:*", "slice_id:*", *OVERRIDES),
}
STATES = []


def migration_state():
    """The models as a data migration sees them; made once."""
    if not STATES:
        STATES.append(ProjectState.from_apps(apps))
    return STATES[0]


@pytest.mark.parametrize("block", [nullcontext, transaction.atomic], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("name", WRITES)
def test_a_write_invalidates(database, invalidated, name, block):
    """What is written is invalidated when it is committed; no more than has to be is."""
    if name in ONLY_POSTGRES and database != "postgresql":
        pytest.skip("There is no such thing in SQLite.")
    if name == "a schema migration" and block is not nullcontext:
        pytest.skip("Schema editors have transactions of their own.")
    steps = WRITES[name]()
    next(steps)
    invalidated.take()
    with block():
        expected = next(steps)
    assert invalidated.take() == expected


def test_loaddata_is_such_a_deserialisation(invalidated, tmp_path):
    """The command itself, once: its rows are saved "raw"."""
    one = author()
    fixture = tmp_path / "authors.json"
    fixture.write_text(serializers.serialize("json", [one]))
    invalidated.take()
    call_command("loaddata", str(fixture), stdout=StringIO())
    assert f"author_id:{one.pk}" in invalidated.take()


def test_asyncio_runs_no_transaction():
    """The async ORM writes in a thread whose connection is watched like any other."""

    async def run():
        return await Author.objects.acount()

    assert asyncio.run(run()) == 0
