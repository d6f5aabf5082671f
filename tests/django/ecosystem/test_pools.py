"""Connections that are shared: psycopg's own pool, and PgBouncer in transaction pooling."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction
from psycopg import IsolationLevel

from cache_core import Cache
from cache_core.observe.recording import record
from cache_core.testing import FakeClock, FakeStore
from django_ext import cache
from django_ext import outbox as outbox_module
from django_ext.outbox import Outbox
from tests.django.library.caching import get_author
from tests.django.library.models import Author
from tests.django.postgres import as_default, settings_of
from tests.pgbouncer import PgBouncer, require_pgbouncer

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def pgbouncer(postgres):
    require_pgbouncer()
    with PgBouncer(postgres) as server:
        yield server


@contextmanager
def with_psycopg_pool(server):
    """One connection to the server, which the threads of the process take turns with."""
    settings = {**settings_of(server), "OPTIONS": {"pool": {"min_size": 1, "max_size": 1}}}
    with as_default(settings) as wrapper:
        try:
            yield
        finally:
            wrapper.close_pool()


@contextmanager
def with_pgbouncer(server):
    """What PgBouncer asks of Django: no cursors that outlive a transaction."""
    with as_default({**settings_of(server), "DISABLE_SERVER_SIDE_CURSORS": True}):
        yield


@pytest.fixture(params=["psycopg pool", "pgbouncer"])
def shared(request, postgres):
    """Django's default database, over connections that are shared."""
    if request.param == "pgbouncer":
        block = with_pgbouncer(request.getfixturevalue("pgbouncer"))
    else:
        block = with_psycopg_pool(postgres)
    with block:
        cache.reload()
        yield request.param
        Author.objects.all().delete()
        cache.close()


def in_request(function, *args):
    """What a thread of a server does for one request, and what the cache did meanwhile."""
    told = []

    def work():
        with cache.enable(), record(cache) as recording:
            value = function(*args)
        connection.close()
        told.append((value, recording.to_mapping()["calls"]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    ((value, calls),) = told
    return value, [call["layer"] or call["reason"] or call["outcome"] for call in calls]


def test_a_commit_invalidates(shared):
    """A writer in one thread, a reader in another; a rollback changes nothing."""
    author = Author.objects.create(name="A")
    connection.close()
    assert in_request(get_author, author.pk) == ("A", ["miss"])
    assert in_request(get_author, author.pk) == ("A", ["local"])
    with pytest.raises(LookupError), transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="B")
        raise LookupError
    assert in_request(get_author, author.pk) == ("A", ["local"])
    Author.objects.filter(pk=author.pk).update(name="B")
    connection.close()
    assert in_request(get_author, author.pk) == ("B", ["miss"])


def test_uncommitted_data_is_kept_from_others(shared):
    """The writer reads past the cache; whoever gets its connection next does not."""
    author = Author.objects.create(name="A")
    connection.close()

    def write_and_read():
        with transaction.atomic():
            Author.objects.filter(pk=author.pk).update(name="B")
            return get_author(author.pk), connection.connection.info.backend_pid

    def read():
        with transaction.atomic():
            return get_author(author.pk), connection.connection.info.backend_pid

    (written, first), layers = in_request(write_and_read)
    assert (written, layers) == ("B", ["uncommitted"])
    (seen, second), layers = in_request(read)
    assert (seen, layers) == ("B", ["miss"])
    if shared == "psycopg pool":
        assert first == second  # the very connection that the writer had


def test_a_loader_may_iterate(shared):
    """Over chunks, with what the mode of pooling allows for it."""
    Author.objects.bulk_create([Author(name=str(number)) for number in range(5)])
    connection.close()

    def names():
        return [author.name for author in Author.objects.order_by("pk").iterator(chunk_size=2)]

    assert in_request(names)[0] == list("01234")


def test_the_outbox_is_relayed(shared, monkeypatch):
    """Its rows are locked and deleted in one transaction, which any connection can do."""
    monkeypatch.setattr(outbox_module, "PATIENCE", timedelta(0))
    store = FakeStore(FakeClock())
    outbox = Outbox(Cache(clock=store.clock, remote=store), ["default"])
    with transaction.atomic():
        outbox.record("default", ["{user_id:7}"])
    connection.close()
    assert outbox.relay() == 1
    assert "{user_id:7}" in store.versions
    assert outbox.waiting() == {"default": 0}


def test_the_isolation_of_the_settings_is_noticed(postgres, pgbouncer):
    """Django asks for it with each BEGIN, so that it holds on any connection."""
    options = {"isolation_level": IsolationLevel.REPEATABLE_READ}

    def seen():
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            return cursor.fetchone()[0], cache.runtime.snapshot_since() is not None

    with as_default({**settings_of(pgbouncer), "OPTIONS": options}):
        assert in_request(seen)[0] == ("repeatable read", True)
    with as_default(settings_of(pgbouncer)):
        assert in_request(seen)[0] == ("read committed", False)
