"""Whoever writes an override in Django, every process notices."""

from __future__ import annotations

import json

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import override_settings

from cache_core.errors import OverridesUnavailable
from cache_core.testing import FakeClock, FakeStore
from django_ext import cache
from django_ext.conf import read_settings
from django_ext.models import UseCaseOverride, UseCaseOverrideChange
from django_ext.overrides import ModelOverrides
from tests.django.library.caching import get_author


@pytest.fixture
def store():
    return FakeStore(FakeClock())


@pytest.fixture
def project(clean, store):
    """The project's cache with a store, and overrides in the table; loads are done at once."""
    settings = {"REMOTE": store, "OVERRIDES": "model", "DEFAULT": {"ttl": 60}}
    with override_settings(CACHE_CORE=settings):
        cache.runtime.following._begin = lambda work: work()
        yield cache
    UseCaseOverride.objects.all().delete()
    UseCaseOverrideChange.objects.all().delete()


NAME = get_author.use_case.name


def ramp_after_a_request():
    with cache.scope():
        pass
    return cache.policy(NAME).local.ramp


def by_save():
    UseCaseOverride(use_case=NAME, ramp_local=5).save()


def by_update():
    UseCaseOverride.objects.bulk_create([UseCaseOverride(use_case=NAME, ramp_local=7)])
    cache.control.refresh()
    UseCaseOverride.objects.update(ramp_local=5)


def by_sql():
    by_save()
    UseCaseOverride.objects.update(ramp_local=9)
    cache.control.refresh()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE cache_core_override SET ramp_local = 5")


def by_fixture(tmp_path):
    fields = {"use_case": NAME, "ramp_local": "5"}
    row = {"model": "cache_core_django.usecaseoverride", "pk": 1, "fields": fields}
    (tmp_path / "rows.json").write_text(json.dumps([row]))
    call_command("loaddata", str(tmp_path / "rows.json"), verbosity=0)


def by_control():
    cache.control.ramp(NAME, local=5, by="ann", why="slow")


@pytest.mark.parametrize("write", [by_save, by_update, by_sql, by_fixture, by_control])
def test_every_write_is_noticed(project, write, tmp_path):
    """By the next request of the process that wrote, whatever wrote."""
    assert ramp_after_a_request() == 100
    write(tmp_path) if write is by_fixture else write()
    assert ramp_after_a_request() == 5


@pytest.mark.parametrize("write", [by_save, by_sql, by_control])
def test_other_processes_are_told_by_a_version(project, write, store):
    """What is written bumps the thing whose version rides along with others."""
    with cache.scope():
        pass
    cache.control.refresh()
    before = store.versions["{cache_core_override:+}"]
    write()
    assert store.versions["{cache_core_override:+}"] != before


def test_a_change_counts_from_its_commit_on(project):
    """One that is rolled back is seen by nobody, and begins nothing."""
    with transaction.atomic():
        cache.control.ramp(NAME, local=5)
        assert cache.policy(NAME).local.ramp == 100
        transaction.set_rollback(True)
    assert ramp_after_a_request() == 100
    with transaction.atomic():
        cache.control.ramp(NAME, local=5)
    assert cache.policy(NAME).local.ramp == 5


def test_the_history_is_in_the_database(project):
    """With who, why and both values."""
    cache.control.ramp(NAME, local=5, by="ann", why="slow", cause="admin")
    row = UseCaseOverrideChange.objects.get()
    assert (row.use_case, row.by, row.why, row.cause) == (NAME, "ann", "slow", "admin")
    assert row.fields == {"ramp_local": [None, 5.0]}


def test_a_page_shows_what_is_in_the_table(project):
    """Also before this process follows, and what no code knows as an orphan."""
    UseCaseOverride.objects.bulk_create(
        [UseCaseOverride(use_case=NAME, ramp_local=5), UseCaseOverride(use_case="Gone")]
    )
    listing = cache.control.listing()
    rows = {row.use_case: row for row in listing.rows}
    assert rows[NAME].effective.local.ramp == 5
    assert rows[NAME].otherwise.local.ramp == 100
    assert rows["Gone"].is_orphan and listing.problem == ""


def test_before_migrate_everything_works(project):
    """Requests are served by settings and code; who changes something is told what is missing."""
    call_command("migrate", "cache_core_django", "0001", verbosity=0)
    try:
        cache.reload()
        cache.runtime.following._begin = lambda work: work()
        assert ramp_after_a_request() == 100
        assert cache.stats()["overrides"]["error"] == ""
        assert cache.control.listing().everything is None
        with pytest.raises(OverridesUnavailable, match="migrate"):
            cache.control.ramp(NAME, local=5)
        call_command("makemigrations", "cache_core_django", check=True, dry_run=True, verbosity=0)
    finally:
        call_command("migrate", "cache_core_django", verbosity=0)


def test_the_table_is_the_default_except_in_tests(clean, monkeypatch):
    """In tests the memory is: no test depends on rows, or on connections of other threads."""
    assert read_settings().overrides is None
    monkeypatch.delattr(mail, "outbox")
    assert isinstance(read_settings().overrides, ModelOverrides)
    with override_settings(CACHE_CORE={"OVERRIDES": "memory"}):
        assert read_settings().overrides == "memory"


@pytest.mark.parametrize("name", [":memory:", "file:shop?mode=memory&cache=shared"])
def test_beside_a_database_in_memory_they_are_in_memory(clean, monkeypatch, name):
    """Another thread would see another database, or none."""
    monkeypatch.delattr(mail, "outbox")
    monkeypatch.setitem(connections.settings["default"], "NAME", name)
    assert read_settings().overrides is None
