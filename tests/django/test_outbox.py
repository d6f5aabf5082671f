"""The outbox: rows that are written with the data, and delivered by any process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext, suppress
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cache_core import Cache
from cache_core.testing import FakeClock, FakeStore
from django_ext import cache as project_cache
from django_ext import outbox as outbox_module
from django_ext import relaying
from django_ext.checks import check_settings
from django_ext.middleware import CacheScopeMiddleware
from django_ext.models import OutboxRow
from django_ext.outbox import Outbox, Table
from django_ext.transactions import Writes
from tests.django.library.caching import get_author
from tests.django.library.models import Author

pytestmark = pytest.mark.usefixtures("django_database")

ROOT = Path(__file__).resolve().parents[2]
USER = "{user_id:7}"


@pytest.fixture(autouse=True)
def _empty():
    yield
    OutboxRow.objects.all().delete()


@pytest.fixture
def store():
    """What is invalidated arrives here."""
    return FakeStore(FakeClock())


@pytest.fixture
def cache(store):
    """A cache of its own: the project's has no store."""
    cache = Cache(clock=store.clock, remote=store)
    yield cache
    cache.close()


@pytest.fixture
def outbox(cache, monkeypatch):
    """Rows are due at once."""
    monkeypatch.setattr(outbox_module, "PATIENCE", timedelta(0))
    return Outbox(cache, ["default"])


def written(outbox, *things, **options):
    """A row of a transaction that was committed, whose writer has died since."""
    with transaction.atomic():
        return outbox.record("default", things or [USER], **options)


def version(store):
    """The version of the user; None before it was ever given one."""
    return store.versions.get(USER)


# -- rows ------------------------------------------------------------------------------------------


def test_a_row_is_part_of_its_transaction(outbox):
    """After a rollback there is nothing to deliver."""
    with transaction.atomic():
        assert outbox.record("default", [USER]) is not None
        assert OutboxRow.objects.count() == 1
        transaction.set_rollback(True)
    assert OutboxRow.objects.count() == 0


def test_nothing_is_recorded_where_there_is_no_outbox(outbox):
    """Other databases, and writes that touch nothing, cost no statement."""
    assert outbox.record("elsewhere", [USER]) is None
    assert outbox.record("default", []) is None


def test_a_table_that_is_missing_breaks_no_transaction(outbox, caplog, monkeypatch):
    """Before `migrate` the write goes on without its row, and the log says what to do."""
    monkeypatch.setattr(OutboxRow._meta, "db_table", "not_migrated")
    with transaction.atomic():
        assert outbox.record("default", [USER]) is None
        assert connections["default"].needs_rollback is False
    assert "manage.py migrate --database default" in caplog.text
    assert outbox.relay() == 0
    assert outbox.waiting() == {}


# -- delivery --------------------------------------------------------------------------------------


def test_a_row_of_a_dead_writer_is_delivered(outbox, store):
    """Any process gives what was written a fresh version."""
    written(outbox)
    assert outbox.waiting() == {"default": 1}
    assert outbox.relay() == 1
    assert version(store) is not None
    assert outbox.waiting() == {"default": 0}


def test_a_row_is_delivered_once(outbox, store):
    """The next look finds nothing to do."""
    written(outbox)
    outbox.relay()
    before = version(store)
    assert outbox.relay() == 0
    assert version(store) == before


def test_a_row_is_left_to_its_writer_at_first(cache):
    """For some seconds nobody else looks at it."""
    outbox = Outbox(cache, ["default"])
    written(outbox)
    assert outbox.relay() == 0
    OutboxRow.objects.update(due_at=timezone.now())
    assert outbox.relay() == 1


def test_a_row_may_have_to_wait(outbox):
    """Sources that are behind the database have not seen the write yet."""
    written(outbox, not_before=60)
    assert outbox.relay() == 0


def test_a_writer_notes_that_it_has_delivered(outbox, store):
    """Its rows are nobody else's work any more."""
    outbox.delivered("default", [written(outbox)])
    assert outbox.waiting() == {"default": 1}
    outbox.write_down()
    assert outbox.relay() == 0
    assert version(store) is None


def test_rows_stay_while_the_store_is_away(outbox, store, caplog):
    """They are delivered when it is back."""
    written(outbox)
    store.down = True
    assert outbox.relay() == 0
    assert "was not delivered, and will be" in caplog.text
    store.down = False
    assert outbox.relay() == 1
    assert version(store) is not None


def test_another_store_is_told_of_the_last_minutes(outbox, store):
    """A replica that took over may not know of what was delivered before."""
    written(outbox)
    assert outbox.relay() == 1
    store.lose_versions()
    store.fail_over()
    store.clock.advance(5)
    assert version(store) is None
    assert outbox.relay() == 0
    assert version(store) is not None


def test_rows_are_deleted_after_ten_minutes(outbox):
    """A table that is used for years stays small."""
    old = written(outbox)
    outbox.relay()
    OutboxRow.objects.filter(pk=old).update(delivered_at=timezone.now() - timedelta(minutes=11))
    written(outbox)
    outbox.relay()
    assert not OutboxRow.objects.filter(pk=old).exists()


def test_a_relay_keeps_out_of_open_transactions(outbox, store):
    """What is not committed yet must not be delivered."""
    with transaction.atomic():
        outbox.record("default", [USER])
        assert outbox.relay() == 0
    assert version(store) is None


def test_a_database_that_is_away_breaks_nothing(outbox, caplog, monkeypatch):
    """The relay says so and goes on."""

    def fail(*_):
        raise OperationalError("gone")

    written(outbox)
    monkeypatch.setattr(Table, "take", fail)
    assert outbox.relay() == 0
    assert "gone" in caplog.text


def test_a_note_that_cannot_be_written_costs_one_delivery_more(outbox, monkeypatch):
    """At least once is enough."""

    def fail(*_):
        raise OperationalError("gone")

    outbox.delivered("default", [written(outbox)])
    with monkeypatch.context() as patch:
        patch.setattr(Table, "done", fail)
        outbox.write_down()
    assert outbox.relay() == 1


# -- with the writes of a project ------------------------------------------------------------------


@pytest.fixture
def project(store, monkeypatch):
    """The project's cache has an outbox, and a store that may be away."""
    monkeypatch.setattr(outbox_module, "PATIENCE", timedelta(0))
    with override_settings(CACHE_CORE={"OUTBOX": True, "REMOTE": store}):
        yield project_cache
    project_cache.reload()


@pytest.fixture
def dies(monkeypatch):
    """After COMMIT the process is gone: nothing is invalidated, and nobody notes anything."""
    monkeypatch.setattr(Writes, "deliver", lambda self: None)


def things():
    """What the rows tell of that nobody has delivered."""
    rows = OutboxRow.objects.filter(delivered_at=None).order_by("pk")
    return [[thing for thing in row.things if "+}" not in thing] for row in rows]


@pytest.fixture
def ada():
    return Author.objects.create(name="Ada")


def rename(author):
    author.name += "!"
    author.save()


def test_a_write_and_its_row_are_one_transaction(project, ada):
    """What is committed is told of, and what is rolled back is not."""
    with transaction.atomic():
        rename(ada)
        assert things() == [[f"{{author_id:{ada.pk}}}"]]
        transaction.set_rollback(True)
    assert OutboxRow.objects.count() == 0


def test_after_commit_the_writer_has_told(project, ada):
    """In the ordinary case nothing is left for a relay."""
    with transaction.atomic():
        rename(ada)
    assert OutboxRow.objects.exclude(delivered_at=None).count() == 1
    assert project.outbox.waiting() == {"default": 0}


@pytest.mark.usefixtures("dies")
@pytest.mark.parametrize("block", [nullcontext, transaction.atomic], ids=["autocommit", "atomic"])
@pytest.mark.parametrize(
    "write",
    [
        rename,
        lambda author: Author.objects.filter(pk=author.pk).update(name="Grace"),
        lambda author: Author.objects.filter(pk=author.pk).delete(),
        lambda author: author.delete(),
        lambda author: Author.objects.bulk_update([author], ["name"]),
    ],
    ids=["save", "update", "delete", "delete one", "bulk_update"],
)
def test_what_a_dead_writer_committed_is_delivered(project, store, ada, write, block):
    """By any process, and nothing that was committed has no row."""
    OutboxRow.objects.all().delete()
    with block():
        write(ada)
    before = dict(store.versions)
    assert project.outbox.relay() >= 1
    assert {name for name in store.versions if store.versions[name] != before.get(name)}


@pytest.mark.usefixtures("dies")
def test_a_created_row_is_told_of(project):
    """Its id is known before the COMMIT."""
    with transaction.atomic():
        grace = Author.objects.create(name="Grace")
    assert things() == [[f"{{author_id:{grace.pk}}}"]]
    assert project.outbox.relay() == 1


@pytest.mark.usefixtures("project")
def test_what_returns_rows_is_told_of_ahead(ada):
    """SQLite cannot commit before they are fetched; the row is due when that is long over."""
    with connections["default"].cursor() as cursor:
        sql = "UPDATE library_author SET name = 'Grace' WHERE id = %s RETURNING name"
        cursor.execute(sql, [ada.pk])
        assert cursor.fetchone() == ("Grace",)
    assert things() == [[f"{{author_id:{ada.pk}}}"]]
    assert OutboxRow.objects.get().due_at > timezone.now() + timedelta(seconds=50)


@pytest.mark.usefixtures("dies")
def test_a_savepoint_that_is_rolled_back_takes_its_row_along(project, ada):
    """What is written once more after it gets another one."""
    with transaction.atomic():
        with suppress(KeyError), transaction.atomic():
            rename(ada)
            raise KeyError
        assert things() == []
        rename(ada)
        assert things() == [[f"{{author_id:{ada.pk}}}"]]


def test_what_was_told_of_once_needs_no_second_row(project, ada):
    """A transaction that saves one row often inserts one row into the outbox."""
    assert project.outbox.waiting() == {"default": 0}  # has looked for the table
    with transaction.atomic(), CaptureQueriesContext(connections["default"]) as statements:
        rename(ada), rename(ada), rename(ada)
    verbs = [query["sql"].split()[0] for query in statements]
    assert sorted(verbs) == ["INSERT", "UPDATE", "UPDATE", "UPDATE"]


def test_a_store_that_is_away_leaves_the_row(project, store, ada):
    """The write succeeds, and is told of when the store is back."""
    store.down = True
    with transaction.atomic():
        rename(ada)
    assert project.outbox.waiting() == {"default": 1}
    store.down = False
    assert project.outbox.relay() == 1


def test_a_request_delivers_what_others_have_left(project, store):
    """After its response, and not at every request."""
    written(project.outbox)
    middleware = CacheScopeMiddleware(lambda _: HttpResponse("hello"))
    middleware(RequestFactory().get("/")).close()
    assert version(store) is not None
    written(project.outbox)
    middleware(RequestFactory().get("/")).close()
    assert project.outbox.waiting() == {"default": 1}


def test_in_a_request_rows_are_updated_after_the_response(project, ada):
    """The user does not wait for it."""

    def view(_):
        rename(ada)
        return HttpResponse("saved")

    response = CacheScopeMiddleware(view)(RequestFactory().post("/"))
    assert OutboxRow.objects.filter(delivered_at=None).count() == 1
    response.close()
    assert OutboxRow.objects.filter(delivered_at=None).count() == 0


def test_a_wrong_setting_is_told_of(project):
    """Only databases of the project can have an outbox."""
    with override_settings(CACHE_CORE={"OUTBOX": ["elsewhere"]}):
        (error,) = check_settings()
    assert error.id == "cache_core.E001"
    assert "OUTBOX" in error.msg


# -- real processes --------------------------------------------------------------------------------

DYING = """
import os, signal, sys
import django
django.setup()
from django.conf import settings
settings.CACHE_CORE = {"OUTBOX": True, "REDIS": sys.argv[1], "NAMESPACE": sys.argv[2]}
from django.db import transaction
from django_ext.transactions import Writes
from tests.django.library.models import Author
Writes.deliver = lambda self: os.kill(os.getpid(), signal.SIGKILL)
author = Author.objects.get(pk=int(sys.argv[3]))
author.name = "Grace"
with transaction.atomic():
    author.save()
"""


def test_a_writer_that_is_killed_after_commit_has_told(redis_server, ada, monkeypatch):
    """Kill -9 between COMMIT and invalidation: another process delivers what it had to say."""
    monkeypatch.setattr(outbox_module, "PATIENCE", timedelta(0))
    namespace = f"killed{ada.pk}"
    settings = {"OUTBOX": True, "REDIS": redis_server.patient_url, "NAMESPACE": namespace}
    with override_settings(CACHE_CORE=settings):
        with project_cache.enable():
            assert get_author(ada.pk) == "Ada"
        command = [sys.executable, "-c", DYING, redis_server.patient_url, namespace, str(ada.pk)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        OutboxRow.objects.update(due_at=timezone.now())
        with project_cache.enable():
            assert get_author(ada.pk) == "Ada"  # nobody has told yet
        out = StringIO()
        call_command("cache_core", "relay", "--once", stdout=out)
        assert "1 delivered" in out.getvalue()
        with project_cache.enable():
            assert get_author(ada.pk) == "Grace"
        project_cache.close()


def test_the_relay_needs_an_outbox():
    """The command says which setting is missing."""
    with pytest.raises(CommandError, match="OUTBOX"):
        call_command("cache_core", "relay", "--once")


def test_the_relay_goes_on_until_it_is_stopped(project, monkeypatch):
    """Once a second, and Ctrl-C ends it without an error."""
    seconds = []

    def sleep(wait):
        seconds.append(wait)
        written(project.outbox)
        if len(seconds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(relaying, "sleep", sleep)
    out = StringIO()
    call_command("cache_core", "relay", stdout=out)
    assert seconds == [1.0, 1.0, 1.0]
    assert "2 delivered" in out.getvalue()
