"""Which writes of tracked models invalidate which entities."""

from __future__ import annotations

import uuid
from io import StringIO
from operator import attrgetter

import pytest
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from cache_core import DeclarationError
from cache_core.sqltext import DELETE, INSERT, Write
from django_ext import track
from django_ext.mapping import Mapping
from django_ext.tables import Tables
from django_ext.tracking import Tracker, tracker
from django_ext.transactions import ALL
from tests.django.library.models import (
    Author,
    Book,
    Bookshop,
    Diary,
    Loan,
    Novel,
    Place,
    Shop,
    Stall,
    Tag,
    Untracked,
    Vendor,
)

ONE = uuid.UUID(int=1)
TWO = uuid.UUID(int=2)


def test_a_created_row_invalidates_its_entity(invalidated):
    """Creating counts: somebody may have cached that there is no such row."""
    author = Author.objects.create(name="Ada")
    assert invalidated.take() == {f"author_id:{author.pk}"}


def test_a_saved_row_invalidates_its_entity(invalidated):
    """save(), also with update_fields, invalidates the row's entity."""
    author = Author.objects.create(name="Ada")
    invalidated.take()
    author.save()
    assert invalidated.take() == {f"author_id:{author.pk}"}
    author.save(update_fields=["name"])
    assert invalidated.take() == {f"author_id:{author.pk}"}


def test_a_deleted_row_invalidates_its_entity(invalidated):
    """delete() of an instance and of a queryset invalidates every row's entity."""
    one, two, three = (Author.objects.create(name=name) for name in "abc")
    invalidated.take()
    key = one.pk
    one.delete()
    assert invalidated.take() == {f"author_id:{key}"}
    Author.objects.all().delete()
    assert invalidated.take() == {f"author_id:{two.pk}", f"author_id:{three.pk}"}


def test_every_mapping_of_a_model_counts(invalidated):
    """A model may be tracked several times, each mapping names its entity."""
    author = Author.objects.create(name="Ada")
    invalidated.take()
    book = Book.objects.create(title="Notes", author=author)
    assert invalidated.take() == {f"book_id:{book.pk}", f"author_id:{author.pk}"}


def test_a_row_without_an_id_invalidates_nothing_for_that_mapping(invalidated):
    """An empty foreign key names no entity."""
    book = Book.objects.create(title="Notes", author=None)
    assert invalidated.take() == {f"book_id:{book.pk}"}


def test_rows_deleted_by_a_cascade_invalidate_their_entities(invalidated):
    """Deleting an author deletes the books; their entities are invalidated too."""
    author = Author.objects.create(name="Ada")
    book = Book.objects.create(title="Notes", author=author)
    invalidated.take()
    key = author.pk
    author.delete()
    assert invalidated.take() == {f"book_id:{book.pk}", f"author_id:{key}"}


# A mapped field that changes.


def test_moving_a_row_invalidates_the_old_and_the_new_entity(invalidated):
    """When a mapped field changes, the entity that lost the row is invalidated as well."""
    old, new = (Author.objects.create(name=name) for name in "ab")
    book = Book.objects.get(pk=Book.objects.create(title="Notes", author=old).pk)
    invalidated.take()
    book.author = new
    book.save()
    assert invalidated.take() == {
        f"book_id:{book.pk}",
        f"author_id:{old.pk}",
        f"author_id:{new.pk}",
    }


def test_moving_a_row_twice_follows_each_move(invalidated):
    """After a save the instance is in step again, so a second move starts from the first one's end."""
    loan = Loan.objects.create(reader=ONE, branch=1)
    loan.branch = 2
    loan.save()
    invalidated.take()
    loan.branch = 3
    loan.save()
    taken = invalidated.take()
    assert {"branch_id:2", "branch_id:3"} <= taken
    assert "branch_id:1" not in taken


def test_an_unsaved_change_does_not_hide_the_stored_entity(invalidated):
    """save(update_fields=...) of another field leaves the row where it is; that entity changed."""
    loan = Loan.objects.create(reader=ONE)
    invalidated.take()
    loan.reader = TWO
    loan.due = 1
    loan.save(update_fields=["due"])
    assert f"reader_id:{ONE}" in invalidated.take()


def test_a_deferred_field_is_looked_up(invalidated):
    """An instance loaded without the mapped field still invalidates the old and the new entity."""
    key = Loan.objects.create(reader=ONE).pk
    invalidated.take()
    loan = Loan.objects.only("due").get(pk=key)
    loan.reader = TWO
    loan.save()
    assert {f"reader_id:{ONE}", f"reader_id:{TWO}"} <= invalidated.take()
    loan = Loan.objects.defer("reader").get(pk=key)
    loan.delete()
    assert f"reader_id:{TWO}" in invalidated.take()


def test_an_instance_that_was_never_loaded_is_looked_up(invalidated):
    """Model(pk=...).save() overwrites a row; the entity that the row was under is invalidated."""
    key = Loan.objects.create(reader=ONE).pk
    invalidated.take()
    Loan(pk=key, reader=TWO).save()
    assert {f"reader_id:{ONE}", f"reader_id:{TWO}"} <= invalidated.take()
    Loan(pk=key).delete()
    assert f"reader_id:{TWO}" in invalidated.take()


def test_a_row_that_was_refreshed_is_not_taken_for_what_was_loaded(invalidated):
    """Another process moved the row, refresh_from_db() saw it, then it is moved again: all count."""
    loan = Loan.objects.create(reader=ONE, branch=1)
    Loan.objects.filter(pk=loan.pk).update(branch=2)
    loan.refresh_from_db()
    invalidated.take()
    loan.branch = 3
    loan.save()
    assert {"branch_id:2", "branch_id:3"} <= invalidated.take()


def test_a_save_without_a_move_costs_no_query():
    """An instance that was loaded whole and not moved is saved with one statement."""
    book = Book.objects.get(pk=Book.objects.create(title="Notes").pk)
    book.title = "Other notes"
    with CaptureQueriesContext(connection) as queries:
        book.save()
    assert len(queries) == 1


def test_a_callable_may_name_several_entities(invalidated):
    """A callable may return a list; None stands for no entity."""
    loan = Loan.objects.create(reader=ONE, branch=1, due=9)
    assert invalidated.take() == {f"reader_id:{ONE}", "branch_id:1", "branch_id:due9"}
    loan.branch = None
    loan.save()
    assert invalidated.take() == {f"reader_id:{ONE}", "branch_id:1", "branch_id:due9"}


def test_an_id_is_named_as_the_database_gives_it_back(invalidated):
    """A text that was assigned to a UUID field names the same entity as the UUID."""
    Loan.objects.create(reader=str(ONE).upper().replace("-", ""))
    assert f"reader_id:{ONE}" in invalidated.take()


def test_an_id_that_cannot_be_found_out_invalidates_the_use_cases(invalidated, caplog):
    """Rather than being lost, the write invalidates every entity of the key type, and is logged."""
    author = Author.objects.create(name="Ada")
    book = Book.objects.create(title="Notes", author=author)
    invalidated.take()
    book.author_id = F("author_id") + 0
    book.save()
    taken = invalidated.take()
    assert f"book_id:{book.pk}" in taken
    # Newer Django reads the value of an expression back; older Django leaves the expression.
    assert "author_id:*" in taken or f"author_id:{author.pk}" in taken
    assert ("cannot tell which entity" in caplog.text) == ("author_id:*" in taken)


def test_a_callable_that_raises_never_breaks_a_save(invalidated, caplog):
    """The save goes through; every entity of the key type is invalidated; the error is logged."""
    Diary.objects.create(text="x")
    assert "author_id:*" in invalidated.take()
    assert "cannot tell which entity" in caplog.text


@pytest.mark.parametrize(
    ("id", "row"),
    [
        (lambda _: 1.5, Author()),
        (lambda _: iter([object()]), Author()),
        ("reader", Loan(reader="?")),
    ],
    ids=["a float", "an object", "no UUID"],
)
def test_an_id_without_a_text_stands_for_every_one(caplog, id, row):
    """What no key can be made of is not passed over: everything of its type is invalidated."""
    assert Mapping(type(row), "x_id", id).written(row) == {("x_id", ALL)}
    assert "cannot tell which entity" in caplog.text


def test_a_callable_may_stand_for_all():
    """ALL, alone or among others, is every entity of the key type."""
    for id_of in (lambda _: ALL, lambda _: [1, ALL]):
        assert Mapping(Author, "x_id", id_of).written(Author()) == {("x_id", ALL)}


def test_the_settings_may_name_what_is_tracked():
    """A key type, options, or a list of these; a dotted id names a callable."""
    own = Tracker(transactions=None)
    own.track_declared(
        {
            "library.Author": "author_id",
            "library.Book": [
                {"key_type": "book_id"},
                {"key_type": "author_id", "id": "author", "bulk": "ignore"},
            ],
            "library.Loan": {"key_type": "loan_id", "id": "operator.attrgetter"},
        }
    )
    assert [(mapping.label, mapping.id, mapping.bulk) for mapping in own.mappings] == [
        ("library.Author", "pk", "type"),
        ("library.Book", "pk", "type"),
        ("library.Book", "author", "ignore"),
        ("library.Loan", attrgetter, "type"),
    ]
    assert not own.mistakes


def test_a_class_decorator_tracks():
    """It returns the class, so several of them add up."""
    own = Tracker(transactions=None)
    assert own.track(key_type="author_id")(own.track(key_type="x_id")(Author)) is Author
    assert [mapping.key_type for mapping in own.mappings] == ["x_id", "author_id"]


# Relatives of a tracked model.


def test_a_proxy_writes_rows_of_its_model(invalidated):
    """Saving and deleting through a proxy invalidates what the model is tracked for."""
    novel = Novel.objects.create(title="Emma")
    assert invalidated.take() == {f"book_id:{novel.pk}"}
    key = novel.pk
    novel.delete()
    assert invalidated.take() == {f"book_id:{key}"}


def test_a_proxy_made_late_counts(invalidated):
    """A proxy class that comes into being after start-up is connected as well."""

    class Comic(Book):
        class Meta:
            app_label = "library"
            proxy = True

    comic = Comic.objects.create(title="Maus")
    assert invalidated.take() == {f"book_id:{comic.pk}"}


def test_a_child_writes_the_row_of_its_parent(invalidated):
    """Saving or deleting a multi-table child invalidates the parent's entity, to any depth."""
    shop = Bookshop.objects.create(city="Bath", name="Topping", shelves=3)
    names = {f"place_id:{shop.pk}", f"shop_id:{shop.pk}", "city:Bath"}
    assert invalidated.take() == names
    shop.delete()
    assert invalidated.take() == names


def test_a_parent_writes_part_of_the_childs_row(invalidated):
    """Saving the parent alone invalidates the child's entity, and follows a mapped field of it."""
    key = Shop.objects.create(city="Bath", name="Topping").pk
    invalidated.take()
    place = Place.objects.get(pk=key)
    place.city = "Ely"
    place.save()
    assert invalidated.take() == {f"place_id:{key}", f"shop_id:{key}", "city:Bath", "city:Ely"}


def test_a_second_parent_writes_part_of_the_childs_row(invalidated):
    """A parent whose key the child does not share: the child is looked up."""
    stall = Stall.objects.create(licence="A1")
    assert invalidated.take() == {f"stall_id:{stall.pk}"}
    vendor = Vendor.objects.get(pk="A1")
    vendor.fee = 5
    vendor.save()
    assert invalidated.take() == {f"stall_id:{stall.pk}"}
    Vendor.objects.create(licence="B2")
    assert invalidated.take() == set()


def test_deleting_a_parent_deletes_the_child(invalidated):
    """Deleting the parent invalidates everything the child is tracked for."""
    key = Shop.objects.create(city="Bath", name="Topping").pk
    invalidated.take()
    Place.objects.get(pk=key).delete()
    assert invalidated.take() == {f"place_id:{key}", f"shop_id:{key}", "city:Bath"}


@pytest.mark.parametrize("change", ["add", "remove", "set", "clear"])
def test_a_changed_relation_invalidates_its_side(invalidated, change):
    """All changes of a many-to-many relation invalidate the instance that they were made from."""
    book, tag = Book.objects.create(title="Notes"), Tag.objects.create(word="old")
    if change != "add":
        book.tags.add(tag)
    invalidated.take()
    argument = {"add": [tag], "remove": [tag], "set": [[]], "clear": []}[change]
    getattr(book.tags, change)(*argument)
    assert invalidated.take() == {f"book_id:{book.pk}"}


def test_an_automatic_through_model_may_be_tracked(invalidated, monkeypatch):
    """Django sends no signal for its rows, so its table is looked at."""
    mappings, table = tracker._tables._mappings, Book.tags.through._meta.db_table
    own = Mapping(Book.tags.through, "tagging_id")
    monkeypatch.setitem(mappings, table, {*mappings[table], own})
    Book.objects.create(title="Notes").tags.add(Tag.objects.create(word="x"))
    assert "tagging_id:*" in invalidated.take()


class InDatabase:
    """As the on_delete of newer Django that leaves the work to the database."""

    def on_delete_sql(self, editor):
        return ""


def test_rows_that_the_database_deletes_are_known(monkeypatch):
    """A foreign key of the database itself; deleting what it refers to counts, also at a distance."""
    for name, model in (("author", Book), ("book", Book.tags.through)):
        monkeypatch.setattr(model._meta.get_field(name).remote_field, "on_delete", InDatabase())
    tables = Tables()
    tables.add(Mapping(Book.tags.through, "x_id"), Book.tags.through)
    assert tables.along([Write(DELETE, "library_book")]) == {("x_id", ALL)}
    assert tables.along([Write(DELETE, "library_author")]) == {("x_id", ALL)}
    assert tables.along([Write(INSERT, "library_author"), Write(DELETE, "library_tag")]) == set()


# Other ways to write.


def test_loaddata_invalidates(invalidated, tmp_path):
    """Rows that come from a fixture (raw=True) invalidate, old and new entity alike."""
    loan = Loan.objects.create(reader=ONE, branch=1)
    loan.reader = TWO
    fixture = tmp_path / "loans.json"
    fixture.write_text(serializers.serialize("json", [loan]))
    invalidated.take()
    call_command("loaddata", str(fixture), stdout=StringIO())
    assert {f"reader_id:{ONE}", f"reader_id:{TWO}"} <= invalidated.take()


def test_untracked_models_are_left_alone(invalidated):
    """A model that nobody tracks keeps Django's fast deletion and invalidates nothing."""
    Untracked.objects.create(text="x")
    with CaptureQueriesContext(connection) as queries:
        Untracked.objects.all().delete()
    assert not [query for query in queries if query["sql"].startswith("SELECT")]
    assert invalidated.take() == set()


def test_a_key_type_must_be_one():
    """A reserved key type is refused where it is declared."""
    with pytest.raises(DeclarationError, match="reserved"):
        track(Author, key_type="uc")


def test_a_wrong_mapping_is_logged_and_left_out(caplog, monkeypatch):
    """Where nobody runs the checks, a mapping that fits nothing is logged when Django starts."""
    own = Tracker(transactions=None)
    monkeypatch.setattr(own.statements, "connect", lambda: None)
    own.track("library.Nothing", key_type="x_id")
    own.connect()
    assert "Not tracked: track(library.Nothing" in caplog.text
