"""The outbox: rows that are written with the data, and delivered by any process."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, connections, transaction
from django.utils import timezone

from cache_core import Cache
from cache_core.testing import FakeClock, FakeStore
from django_ext import outbox as outbox_module
from django_ext.models import OutboxRow
from django_ext.outbox import Outbox, Table

pytestmark = pytest.mark.usefixtures("django_database")

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
