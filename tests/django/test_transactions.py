"""When writes invalidate, and who may see what was computed from uncommitted rows."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from enum import IntEnum

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import TestCase, override_settings

from cache_core.errors import MarkFailed, RemoteError
from cache_core.writing import Writing
from django_ext import cache
from django_ext.snapshots import Snapshot
from django_ext.transactions import ALL, in_transaction
from tests.django.library.caching import get_author
from tests.django.library.models import Author, Book, Untracked
from tests.django.postgres import as_default


class Undo(Exception):
    """Ends a block that is to be rolled back."""


def renamed(author, name):
    author.name = name
    author.save()


def cached_name(author):
    """What a new request is given."""
    with cache.enable():
        return get_author(author.pk)


@pytest.fixture
def ada():
    return Author.objects.create(name="Ada")


def sqlite(folder, **more):
    """The settings of another database, with the tables that these tests need."""
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "other.sqlite3"), **more}


@pytest.fixture
def other_database(tmp_path):
    """The alias of a second database."""
    connections.settings["other"] = connections.configure_settings(
        {"default": {}, "other": sqlite(tmp_path)}
    )["other"]
    with connections["other"].schema_editor() as editor:
        editor.create_model(Author)
    yield "other"
    connections["other"].close()
    del connections["other"], connections.settings["other"]


@pytest.fixture
def wal_database(tmp_path):
    """The default database keeps a write-ahead log."""
    with as_default(sqlite(tmp_path)):
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode = wal")
        with connection.schema_editor() as editor:
            editor.create_model(Author)
        yield


# When.


def test_a_write_in_autocommit_invalidates_at_once(ada, invalidated):
    """Without a transaction the invalidation is done when save() returns."""
    renamed(ada, "Ada L.")
    assert invalidated.take() == {f"author_id:{ada.pk}"}


def test_a_write_in_a_transaction_invalidates_after_commit(ada, invalidated):
    """Nothing is invalidated before COMMIT; then everything that was written is, in one go."""
    with transaction.atomic():
        renamed(ada, "Ada L.")
        with transaction.atomic():
            other = Author.objects.create(name="Bob")
        assert invalidated.take() == set()
    assert invalidated.take() == {f"author_id:{ada.pk}", f"author_id:{other.pk}"}


def test_a_write_survives_the_rollback_of_a_later_savepoint(ada, invalidated):
    """A savepoint that is rolled back takes its hooks along, not those of the writes around it."""
    with transaction.atomic():
        renamed(ada, "Ada L.")
        with pytest.raises(Undo), transaction.atomic():
            renamed(ada, "Nobody")
            raise Undo
    assert f"author_id:{ada.pk}" in invalidated.take()


def test_a_write_after_a_rolled_back_savepoint_counts(ada, invalidated):
    """The first write of a transaction was undone, the second was not: it is invalidated."""
    with transaction.atomic():
        with pytest.raises(Undo), transaction.atomic():
            renamed(ada, "Nobody")
            raise Undo
        renamed(ada, "Ada L.")
    assert f"author_id:{ada.pk}" in invalidated.take()


def test_a_hook_that_raises_keeps_nobody_from_invalidating(ada, invalidated):
    """A later hook of somebody else raises; the write was invalidated by then."""

    def broken():
        raise ValueError("broken hook")

    with pytest.raises(ValueError, match="broken hook"), transaction.atomic():
        renamed(ada, "Ada L.")
        transaction.on_commit(broken)
    assert f"author_id:{ada.pk}" in invalidated.take()


def test_a_hook_that_raises_before_ours_only_delays(ada):
    """An earlier hook raised and Django dropped ours: the next request still sees the present."""

    def broken():
        raise ValueError("broken hook")

    assert cached_name(ada) == "Ada"
    with pytest.raises(ValueError, match="broken hook"), transaction.atomic():
        transaction.on_commit(broken)
        renamed(ada, "Ada L.")
    assert cached_name(ada) == "Ada L."


def test_an_earlier_hook_reads_the_present(ada):
    """A hook that was registered before the write reads through the cache what was committed."""
    seen = []
    assert cached_name(ada) == "Ada"
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append(cached_name(ada)))
        renamed(ada, "Ada L.")
    assert seen == ["Ada L."]


def test_with_autocommit_off_a_write_invalidates_at_once(ada, invalidated):
    """After set_autocommit(False) Django tells of no COMMIT; save() must not raise for that."""
    transaction.set_autocommit(False)
    try:
        renamed(ada, "Ada L.")
        assert invalidated.take() == {f"author_id:{ada.pk}"}
        assert cache.transactions.uncommitted()
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert not cache.transactions.uncommitted()
    assert invalidated.take() == {f"author_id:{ada.pk}"}, "once more, now that it is committed"


def test_a_closed_connection_ends_the_transaction(ada, invalidated):
    """The connection is lost in a transaction; whatever became of it, the write is invalidated."""
    with transaction.atomic():
        renamed(ada, "Ada L.")
        connection.close()
    assert not cache.transactions.uncommitted()
    assert f"author_id:{ada.pk}" in invalidated.take()


def test_each_database_has_transactions_of_its_own(ada, invalidated, other_database):
    """A write counts when the transaction of its own database is over, not that of another one."""
    with transaction.atomic(using=other_database):
        there = Author.objects.using(other_database).create(name="Bob")
        with transaction.atomic():
            renamed(ada, "Ada L.")
        assert invalidated.take() == {f"author_id:{ada.pk}"}
        assert cache.transactions.uncommitted()
    assert invalidated.take() == {f"author_id:{there.pk}"}
    assert not cache.transactions.uncommitted()


def test_a_durable_block_is_like_any_other(ada, invalidated):
    """It invalidates after its COMMIT."""
    with transaction.atomic(durable=True):
        renamed(ada, "Ada L.")
        assert invalidated.take() == set()
    assert invalidated.take() == {f"author_id:{ada.pk}"}


def test_a_savepoint_is_no_commit(ada, invalidated):
    """Statements are told of at the COMMIT as well, whatever savepoints are left before it."""
    with transaction.atomic():
        with transaction.atomic():
            Author.objects.update(name="Bob")
        with pytest.raises(Undo), transaction.atomic():
            Author.objects.update(name="Nobody")
            raise Undo
        assert invalidated.take() == set()
    assert invalidated.take() == {"author_id:*"}


# Uncommitted data.


def test_nobody_is_served_uncommitted_data(ada, elsewhere):
    """A value computed inside a transaction from its own writes is neither kept nor served."""
    with transaction.atomic():
        renamed(ada, "Nobody")
        assert cached_name(ada) == "Nobody", "the transaction sees its own write"
        assert elsewhere(cached_name, ada) == "Ada"
    assert elsewhere(cached_name, ada) == "Nobody"


def test_a_transaction_does_not_get_what_was_cached_before(ada):
    """After a write, the transaction that wrote is not served the older value any more."""
    with cache.enable():
        assert get_author(ada.pk) == "Ada"
        with transaction.atomic():
            renamed(ada, "Ada L.")
            assert get_author(ada.pk) == "Ada L."
        assert get_author(ada.pk) == "Ada L."


def test_a_rolled_back_value_is_gone(ada, elsewhere):
    """What was computed in a transaction that is rolled back is served to nobody, then or later."""
    with cache.enable():
        with pytest.raises(Undo), transaction.atomic():
            renamed(ada, "Nobody")
            assert get_author(ada.pk) == "Nobody"
            raise Undo
        assert get_author(ada.pk) == "Ada"
    assert cached_name(ada) == "Ada"
    assert elsewhere(cached_name, ada) == "Ada"


def test_a_value_of_a_rolled_back_savepoint_is_gone(ada, elsewhere):
    """The same for a savepoint, while the transaction goes on and after it."""
    with transaction.atomic():
        with cache.enable():
            with pytest.raises(Undo), transaction.atomic():
                renamed(ada, "Nobody")
                assert get_author(ada.pk) == "Nobody"
                raise Undo
            assert get_author(ada.pk) == "Ada"
        assert cached_name(ada) == "Ada"
    assert cached_name(ada) == "Ada"
    assert elsewhere(cached_name, ada) == "Ada"


def test_any_write_keeps_the_transaction_out_of_the_cache(ada):
    """A value may be made from rows that nobody tracks; what only reads or sets does not count."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("UPDATE library_untracked SET text = 'x'")
        assert not cache.transactions.uncommitted(), "it wrote no row"
        cursor.execute("INSERT INTO library_untracked (text) VALUES ('x')")
        assert cache.transactions.uncommitted()
    assert not cache.transactions.uncommitted()


def test_a_manual_savepoint_is_no_trap(ada, elsewhere):
    """Savepoints made and rolled back by hand leave nothing behind either."""
    with transaction.atomic():
        savepoint = connection.savepoint()
        renamed(ada, "Nobody")
        assert cached_name(ada) == "Nobody"
        connection.savepoint_rollback(savepoint)
        assert cached_name(ada) == "Ada"
    assert elsewhere(cached_name, ada) == "Ada"


def test_a_commit_that_fails_leaves_nothing_behind(ada, elsewhere):
    """The database refuses the COMMIT: what was computed before is gone, caching goes on."""
    with pytest.raises(DatabaseError), transaction.atomic():
        renamed(ada, "Nobody")
        Book.objects.create(title="x", author_id=ada.pk + 1000)  # checked at COMMIT only
        assert cached_name(ada) == "Nobody"
    assert cached_name(ada) == "Ada"
    assert elsewhere(cached_name, ada) == "Ada"
    assert not cache.transactions.uncommitted()


def test_a_transaction_that_only_reads_uses_the_cache(ada):
    """Under ATOMIC_REQUESTS every request is a transaction; those that write nothing are cached."""
    with transaction.atomic():
        cached_name(ada)
        cached_name(ada)
    assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == 1


def test_caching_goes_on_after_the_transaction(ada):
    """The bypass ends with the transaction, however that ended."""
    with transaction.atomic():
        renamed(ada, "Ada L.")
    with pytest.raises(Undo), transaction.atomic():
        renamed(ada, "Nobody")
        raise Undo
    cached_name(ada)
    loads = cache.stats()["use_cases"]["GetAuthor"]["loads"]
    with transaction.atomic():
        cached_name(ada)
    assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == loads


def test_a_reader_in_flight_during_the_write_keeps_nothing_old(ada):
    """A reader read the old row, the writer commits and invalidates, then the reader stores."""
    names = []

    @cache.cached(key_type="author_id", id_arg="key", use_case="SlowAuthor", ttl=300)
    def slow(key):
        name = Author.objects.get(pk=key).name
        if not names:
            renamed(ada, "Ada L.")
        names.append(name)
        return name

    with cache.enable():
        assert slow(ada.pk) == "Ada", "it began before the write"
    with cache.enable():
        assert slow(ada.pk) == "Ada L."


def test_a_loader_that_undoes_its_own_write_keeps_nothing(ada):
    """A loader writes, reads and rolls back: what it returns was never true for anybody else."""
    runs = []

    @cache.cached(key_type="author_id", id_arg="key", use_case="Trying", ttl=300)
    def trying(key):
        runs.append(key)
        name = None
        if len(runs) == 1:
            with suppress(Undo), transaction.atomic():
                renamed(ada, "Nobody")
                name = Author.objects.get(pk=key).name
                raise Undo
        return name or Author.objects.get(pk=key).name

    with cache.enable():
        assert trying(ada.pk) == "Nobody"
    with cache.enable():
        assert trying(ada.pk) == "Ada"


# Snapshots.


def test_a_block_on_sqlite_is_a_snapshot_with_a_write_ahead_log(elsewhere, wal_database):
    """Others commit beside a reader, who goes on seeing what was; none of it is kept."""
    author = Author.objects.create(name="Ada")
    with cache.scope(), transaction.atomic():
        Author.objects.count()
        elsewhere(renamed, author, "Ada L.")
        assert get_author(author.pk) == "Ada"
    assert cached_name(author) == "Ada L."


def test_a_block_on_sqlite_is_none_without(ada):
    """Nobody can commit beside a reader, so what it reads is the newest, and kept."""
    with transaction.atomic():
        Author.objects.count()
        assert cache.transactions.snapshot_since() is None


class IsolationLevel(IntEnum):
    """As that of Django, which needs psycopg."""

    READ_COMMITTED = 2
    SERIALIZABLE = 4


SERVER_SIDE = r"-c default_transaction_isolation=repeatable\ read"


class Connection:
    """What a snapshot is told of a connection."""

    def __init__(self, vendor, isolation_level=None, options=""):
        self.vendor, self.isolation_level = vendor, isolation_level
        self.settings_dict = {"OPTIONS": {"options": options}}
        self.autocommit, self.connection, self.atomic_blocks = False, self, [object()]


@pytest.mark.parametrize(
    ("known", "is_snapshot"),
    [
        (Connection("postgresql", IsolationLevel.READ_COMMITTED), False),
        (Connection("postgresql", IsolationLevel.SERIALIZABLE), True),
        (Connection("postgresql", IsolationLevel.READ_COMMITTED, SERVER_SIDE), True),
        (Connection("mysql", "read committed"), False),
        (Connection("mysql", "repeatable read"), True),
        (Connection("mysql", None), True),
        (Connection("oracle"), False),
        (Connection("something"), True),
    ],
    ids=lambda known: getattr(known, "vendor", ""),
)
def test_what_is_not_known_to_see_the_newest_is_a_snapshot(known, is_snapshot):
    """Where the isolation is not known, nothing is kept."""
    assert (Snapshot(int).since(known) is not None) == is_snapshot


@pytest.mark.parametrize(
    ("sql", "is_snapshot"),
    [
        ("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", True),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", False),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", True),
        ("SET @@SESSION.transaction_isolation = 'REPEATABLE-READ'", True),
        ("SET search_path TO x", False),
    ],
)
def test_a_level_may_be_set_by_sql(sql, is_snapshot):
    """For a transaction it ends with it, for a session it lasts."""
    known = Connection("postgresql", IsolationLevel.READ_COMMITTED)
    begun = []
    snapshot = Snapshot(lambda: begun.append(True))
    assert snapshot.since(known) is None
    snapshot.note(known, sql)
    known.atomic_blocks = known.atomic_blocks if "SESSION" not in sql else [object()]
    assert (snapshot.since(known) is not None) == is_snapshot
    assert len(begun) == is_snapshot
    known.atomic_blocks = [object()]
    assert (snapshot.since(known) is not None) == ("SESSION" in sql)


def test_a_session_may_leave_snapshots():
    """READ COMMITTED for the session wins over the settings."""
    known = Connection("postgresql", IsolationLevel.SERIALIZABLE)
    snapshot = Snapshot(int)
    snapshot.note(known, "SET default_transaction_isolation TO 'read committed'")
    assert snapshot.since(known) is None


# Marks.


@pytest.fixture
def strict():
    """Writes are marked before their COMMIT."""
    with override_settings(CACHE_CORE={"USE_CASES": {"GetAuthor": {"consistency": "strict"}}}):
        yield


def test_a_mark_stands_until_the_commit(ada, strict, elsewhere):
    """From the first write on, nobody is served what is about to change."""
    assert cached_name(ada) == "Ada"
    loads = cache.stats()["use_cases"]["GetAuthor"]["loads"]
    with transaction.atomic():
        renamed(ada, "Ada L.")
        assert elsewhere(cached_name, ada) == "Ada"
        assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == loads + 1
    assert cached_name(ada) == "Ada L."
    loads = cache.stats()["use_cases"]["GetAuthor"]["loads"]
    assert cached_name(ada) == "Ada L."
    assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == loads, "the mark is gone"


def test_a_rolled_back_write_takes_its_marks_along(ada, strict, elsewhere):
    """At the next look everybody is served again."""
    with pytest.raises(Undo), transaction.atomic():
        renamed(ada, "Nobody")
        raise Undo
    for _ in range(2):
        assert cached_name(ada) == "Ada"
        loads = cache.stats()["use_cases"]["GetAuthor"]["loads"]
    assert elsewhere(cached_name, ada) == "Ada"
    assert cache.stats()["use_cases"]["GetAuthor"]["loads"] == loads


@pytest.mark.parametrize("block", [nullcontext, transaction.atomic], ids=["autocommit", "atomic"])
@pytest.mark.parametrize("change", ["save", "update"])
def test_what_cannot_be_marked_is_not_written(ada, strict, monkeypatch, block, change):
    """MarkFailed comes before the statement, so that the caller can roll back."""

    def fail(self):
        raise MarkFailed("no such luck")

    monkeypatch.setattr(Writing, "mark", fail)
    with pytest.raises(MarkFailed), block():
        if change == "save":
            renamed(ada, "Ada L.")
        else:
            Author.objects.update(name="Ada L.")
    monkeypatch.undo()
    assert Author.objects.get(pk=ada.pk).name == "Ada"


def test_a_new_row_is_marked_before_the_commit(strict, monkeypatch):
    """Its key is known after the INSERT; a transaction marks it then."""
    marked = []
    mark = Writing.mark

    def spy(self):
        marked.append(dict(self._bracket.things))
        mark(self)

    monkeypatch.setattr(Writing, "mark", spy)
    with transaction.atomic():
        author = Author.objects.create(name="Ada")
        assert any(f"author_id:{author.pk}" in thing for thing in marked[-1])


# Errors.


def test_a_failing_cache_never_breaks_a_save(ada, caplog, monkeypatch):
    """Whatever goes wrong while invalidating, the row is saved; it is logged and counted."""

    def fail(*_, **__):
        raise RemoteError("no such luck")

    monkeypatch.setattr(cache, "after_commit", fail)
    renamed(ada, "Ada L.")
    with transaction.atomic():
        renamed(ada, "Ada M.")
    ada.refresh_from_db()
    assert ada.name == "Ada M."
    assert f"author_id {ada.pk}" in caplog.text
    assert cache.stats()["failed_invalidations"] >= 2


def test_a_strange_connection_never_breaks_anything(caplog):
    """Whatever a signal says, telling of a write does not raise."""
    failures = cache.transactions.failures
    cache.transactions.wrote(object(), [("author_id", 1)])
    assert cache.transactions.failures == failures + 1
    assert "author_id 1" in caplog.text


def test_wrong_settings_never_break_a_save(ada, caplog):
    """A cache that cannot even be built does not stop the project from writing."""
    with override_settings(CACHE_CORE={"NAMESPACE": "not one"}):
        renamed(ada, "Ada L.")
    assert "CACHE_CORE['NAMESPACE']" in caplog.text


def test_an_unknown_id_invalidates_its_whole_type(ada, invalidated):
    """ALL stands for all ids: every entity of the key type goes, others stay."""
    cache.transactions.invalidate([("author_id", ALL), ("author_id", 7), ("place_id", 1)])
    taken = invalidated.take()
    assert {"author_id:*", "place_id:1"} <= taken
    assert "author_id:7" not in taken


# Django's TestCase, which never commits.


class TestInATestCase(TestCase):
    """The transactions around each test do not count."""

    def test_a_write_invalidates_at_once(self):
        """To the tested code it looks like autocommit."""
        author = Author.objects.create(name="Ada")
        assert cached_name(author) == "Ada"
        renamed(author, "Ada L.")
        assert cached_name(author) == "Ada L."
        assert not in_transaction(connection)

    def test_a_block_of_the_tested_code_counts(self):
        """Inside the tested code's own atomic block nothing uncommitted is kept."""
        author = Author.objects.create(name="Ada")
        assert cached_name(author) == "Ada"
        with transaction.atomic():
            renamed(author, "Ada L.")
            assert cache.transactions.uncommitted()
            assert cached_name(author) == "Ada L."
        assert not cache.transactions.uncommitted()
        assert cached_name(author) == "Ada L."

    def test_a_block_that_is_rolled_back_leaves_nothing(self):
        """What was computed in it is gone."""
        author = Author.objects.create(name="Ada")
        with pytest.raises(Undo), transaction.atomic():
            renamed(author, "Nobody")
            assert cached_name(author) == "Nobody"
            raise Undo
        assert cached_name(author) == "Ada"

    def test_captured_hooks_deliver(self):
        """captureOnCommitCallbacks(execute=True) runs our hook like any other."""
        author = Author.objects.create(name="Ada")
        assert cached_name(author) == "Ada"
        with self.captureOnCommitCallbacks(execute=True) as callbacks, transaction.atomic():
            renamed(author, "Ada L.")
        assert len(callbacks) == 1
        assert cached_name(author) == "Ada L."


def test_a_transaction_is_not_held_against_the_next_one():
    """Also when it wrote what nobody tracks, and nobody looked at the cache since."""
    with transaction.atomic():
        Untracked.objects.create()
    with transaction.atomic():
        assert not cache.transactions.uncommitted()
    with suppress(Undo), transaction.atomic():
        Untracked.objects.create()
        raise Undo
    with transaction.atomic():
        assert not cache.transactions.uncommitted()
