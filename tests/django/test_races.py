"""The races between a reader and a writer that leave a stale entry, on two real connections.

The numbers are those by which these races are known; each ends with what everybody reads then. All
run on PostgreSQL: SQLite lets nobody commit beside a transaction.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress

import pytest
from django.db import connection, connections, transaction
from django.test import override_settings

from django_ext import cache
from tests.django.library.caching import get_author
from tests.django.library.models import Author
from tests.django.postgres import as_default, settings_of

STRICT = {"USE_CASES": {"GetAuthor": {"consistency": "strict"}}}
SNAPSHOTS = ["REPEATABLE READ", "SERIALIZABLE"]


class Undo(Exception):
    """Ends a block that is to be rolled back."""


@pytest.fixture(autouse=True)
def on_postgres(request, clean):
    """Every test of this file."""
    server = request.getfixturevalue("postgres")
    with as_default(settings_of(server)):
        yield
        Author.objects.all()._raw_delete("default")


@pytest.fixture
def ada():
    return Author.objects.create(name="Ada")


@pytest.fixture(params=["request", "strict"])
def mode(request):
    """How much is promised."""
    with override_settings(CACHE_CORE=STRICT if request.param == "strict" else {}):
        yield request.param


def cached_name(key):
    """What a new request is given."""
    with cache.scope():
        return get_author(key)


def save(key, name="new"):
    author = Author.objects.get(pk=key)
    author.name = name
    author.save()


def update(key, name="new"):
    Author.objects.filter(pk=key).update(name=name)


def bulk_update(key, name="new"):
    Author.objects.bulk_update([Author(pk=key, name=name)], ["name"])


def upsert(key, name="new"):
    Author.objects.bulk_create(
        [Author(pk=key, name=name)],
        update_conflicts=True,
        unique_fields=["pk"],
        update_fields=["name"],
    )


def raw(key, name="new"):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_author SET name = %s WHERE id = %s", [name, key])


def block(key, name="new"):
    with connection.cursor() as cursor:
        cursor.execute(
            f"DO $$ BEGIN EXECUTE 'UPDATE library_author SET name = ''{name}'' WHERE id = {key}'; "
            "END $$"
        )


@pytest.fixture(params=[save, update, bulk_update, upsert, raw, block])
def write(request):
    """One way to write, R6 to R9 among them."""
    return request.param


@contextmanager
def before_statement(word, function):
    """Runs *function* right before the next statement of this connection that begins so."""
    pending = [function]

    def wrapper(execute, sql, params, many, context):
        if pending and str(sql).startswith(word):
            pending.pop()()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield
    assert not pending


def assert_everybody_reads(key, name, elsewhere):
    assert Author.objects.values_list("name", flat=True).get(pk=key) == name
    assert elsewhere(cached_name, key) == name
    assert cached_name(key) == name


def test_r1_a_reader_stores_what_it_read_before_the_commit(ada, mode, write, elsewhere):
    """It read the old row, the writer commits and invalidates, then the reader stores."""
    seen = []

    def commit_meanwhile(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and not seen:
            seen.append(sql)
            elsewhere(write, ada.pk)
        return result

    with connection.execute_wrapper(commit_meanwhile):
        assert cached_name(ada.pk) == "Ada"
    assert seen
    assert_everybody_reads(ada.pk, "new", elsewhere)


@pytest.mark.parametrize("write", [save, update, raw])
def test_r2_a_reader_fills_right_before_an_autocommit_write(ada, mode, write, elsewhere):
    """Whoever invalidates before the statement only has invalidated too early."""
    word = "UPDATE"
    with before_statement(word, lambda: elsewhere(cached_name, ada.pk)):
        write(ada.pk)
    assert_everybody_reads(ada.pk, "new", elsewhere)


def test_r3_a_reader_fills_between_the_write_and_the_commit(ada, mode, write, elsewhere):
    """It reads the old row, which is right until the COMMIT."""
    with transaction.atomic():
        write(ada.pk)
        assert elsewhere(cached_name, ada.pk) == "Ada"
    assert_everybody_reads(ada.pk, "new", elsewhere)


@pytest.mark.parametrize("level", SNAPSHOTS)
def test_r4_a_reader_in_a_snapshot_reads_after_the_invalidation(ada, mode, level, elsewhere):
    """Its transaction sees the database as it was; what it computes is not kept."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            cursor.execute("SELECT 1")  # takes the snapshot
        elsewhere(update, ada.pk)
        assert cached_name(ada.pk) == "Ada"
    assert_everybody_reads(ada.pk, "new", elsewhere)


@pytest.mark.parametrize("level", [3, 4], ids=SNAPSHOTS)
def test_r4_where_the_settings_ask_for_snapshots(ada, level, elsewhere):
    """The level of isolation is found out without a query."""
    connections.settings["default"]["OPTIONS"]["isolation_level"] = level
    connection.close()
    connection.settings_dict["OPTIONS"]["isolation_level"] = level
    try:
        with cache.scope(), transaction.atomic():
            Author.objects.count()
            elsewhere(update, ada.pk)
            assert get_author(ada.pk) == "Ada"
        assert_everybody_reads(ada.pk, "new", elsewhere)
    finally:
        del connection.settings_dict["OPTIONS"]["isolation_level"]
        connections.settings["default"]["OPTIONS"].pop("isolation_level", None)


def test_r4_in_read_committed_is_none(ada, mode, elsewhere):
    """Each statement sees what is committed, so the value is right, and kept."""
    with transaction.atomic():
        Author.objects.count()
        elsewhere(update, ada.pk)
        assert cached_name(ada.pk) == "new"
        loads = cache.stats()["use_cases"]["GetAuthor"]["loads"]
        assert cached_name(ada.pk) == "new"
    assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == loads


@pytest.mark.parametrize("savepoint", [False, True], ids=["transaction", "savepoint"])
def test_r5_a_writer_reads_its_own_write_and_rolls_back(ada, mode, savepoint, elsewhere):
    """What it computed from rows that never came to be is kept nowhere."""
    with transaction.atomic() if savepoint else nullcontext():
        with suppress(Undo), transaction.atomic():
            update(ada.pk, "never")
            assert cached_name(ada.pk) == "never"
            raise Undo
        assert cached_name(ada.pk) == "Ada"
    assert_everybody_reads(ada.pk, "Ada", elsewhere)


def test_r5_with_a_row_that_nobody_tracks(ada, elsewhere):
    """A value may be made from rows of any table; after a write of one of them nothing is kept."""

    @cache.cached(key_type="author_id", id_arg="key", use_case="Tagged", ttl=300)
    def tagged(key):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM library_tag")
            return cursor.fetchone()[0]

    def read():
        with cache.scope():
            return tagged(ada.pk)

    with suppress(Undo), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO library_tag (word) VALUES ('x')")
        assert read() == 1
        raise Undo
    assert read() == 0


def test_r10_a_reader_leaves_its_transaction_after_the_commit(ada, mode, elsewhere):
    """It read and filled before; leaving its block revives nothing."""
    with transaction.atomic():
        assert cached_name(ada.pk) == "Ada"
        elsewhere(update, ada.pk)
    assert_everybody_reads(ada.pk, "new", elsewhere)


def test_r11_a_reader_brings_no_older_version_back(ada, mode, elsewhere):
    """A read-only block over two writes, with fills between them, moves nothing backwards."""
    with transaction.atomic():
        assert cached_name(ada.pk) == "Ada"
        elsewhere(update, ada.pk, "first")
        assert elsewhere(cached_name, ada.pk) == "first"
        elsewhere(update, ada.pk, "second")
        assert cached_name(ada.pk) == "second"
    assert_everybody_reads(ada.pk, "second", elsewhere)


def test_r12_a_hook_from_before_the_write_wakes_a_worker(ada, mode, elsewhere):
    """The hook runs before the invalidation does. In "strict" the worker reads the present."""
    assert elsewhere(cached_name, ada.pk) == "Ada"
    seen = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append(elsewhere(cached_name, ada.pk)))
        save(ada.pk)
    assert seen == ["new" if mode == "strict" else "Ada"]
    assert_everybody_reads(ada.pk, "new", elsewhere)


@pytest.mark.parametrize("write", [save, update, raw])
def test_r13_a_writer_dies_between_commit_and_invalidation(ada, write, elsewhere):
    """In "strict" its mark stands, so nobody is served what was cached before."""

    def write_and_die():
        with transaction.atomic():
            write(ada.pk)
            connection.run_on_commit.clear()

    with override_settings(CACHE_CORE=STRICT):
        assert cached_name(ada.pk) == "Ada"
        elsewhere(write_and_die)
        assert_everybody_reads(ada.pk, "new", elsewhere)


@pytest.mark.parametrize("write", [save, update, raw])
def test_r13_in_autocommit(ada, write, elsewhere):
    """The mark is there before the statement, which commits."""
    with override_settings(CACHE_CORE=STRICT):
        assert cached_name(ada.pk) == "Ada"
        seen = []

        def after(execute, sql, params, many, context):
            result = execute(sql, params, many, context)
            if sql.startswith("UPDATE"):
                seen.append(elsewhere(cached_name, ada.pk))
            return result

        connection.execute_wrappers.append(after)
        try:
            write(ada.pk)
        finally:
            connection.execute_wrappers.remove(after)
        assert seen == ["new"]
        assert_everybody_reads(ada.pk, "new", elsewhere)


def test_a_row_that_is_locked_is_read_past_the_cache(ada):
    """Who locks a row wants to see it as it is, not as it was cached."""
    assert cached_name(ada.pk) == "Ada"
    with transaction.atomic():
        cached_name(ada.pk)
        loads = cache.stats()["use_cases"]["GetAuthor"]["loads"]
        Author.objects.select_for_update().get(pk=ada.pk)
        cached_name(ada.pk)
    assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == loads + 1
    assert not cache.transactions.uncommitted()
