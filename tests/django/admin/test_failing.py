"""No page is a server error because something is away; it says what is, and shows what is known."""

from __future__ import annotations

from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError
from django.test import override_settings

from cache_core.errors import OverridesUnavailable, RemoteError
from cache_core.observe import fleet
from django_ext import cache
from django_ext.models import UseCaseOverride
from django_ext.overrides import ModelOverrides
from tests.django.admin.conftest import NAME

PAGES = [
    ("changelist", ()),
    ("change", (NAME,)),
    ("change", ("*",)),
    ("history", (NAME,)),
    ("changes", ()),
    ("kill_switch", ()),
    ("invalidate", ()),
    ("explain", ()),
    ("doctor", ()),
]


def read_all(person):
    """The texts of all pages by their names; all of them are there."""
    return {(page, *args): person.read(page, *args) for page, args in PAGES}


def away(*_, **__):
    raise OverridesUnavailable("the database is away")


def test_while_the_store_is_away(boss, store, monkeypatch):
    """The list says so; changes go on, since they are kept in the database."""

    def fail(_):
        raise RemoteError("the store is away")

    monkeypatch.setattr(store, "perform", fail)
    read_all(boss)
    assert "boss" not in boss.save(ramp_local="5").context_data["notices"]
    assert cache.policy(NAME).local.ramp == 5
    assert "The store has failed and is left alone" in boss.read()
    said = boss.post("explain", use_case=NAME, arguments="1").context_data["said"]
    assert said["outcome"] != "hit"


def test_while_overrides_cannot_be_read(boss, monkeypatch):
    """What was known last is shown, and what is wrong."""
    boss.save(ramp_local="5", why="known")
    monkeypatch.setattr(ModelOverrides, "load", away)
    monkeypatch.setattr(ModelOverrides, "history", away)
    texts = read_all(boss)
    assert "known" in texts["changelist",]
    assert "The store of overrides cannot be read" in texts["changelist",]
    assert "The history cannot be read" in texts["changes",]
    assert "the database is away" in boss.save(ramp_local="6").content.decode()
    data = {"action": "ramp_5", "names": [NAME], "confirmed": "1"}
    assert "the database is away" in boss.post("action", **data).content.decode()


def test_while_figures_cannot_be_read(boss, monkeypatch):
    """Those of this process are shown."""

    def fail(*_):
        raise RemoteError("no figures")

    monkeypatch.setattr(fleet, "_gather", lambda runtime, own: fleet._Others(problem="no figures"))
    assert "no figures" in boss.read()
    monkeypatch.setattr(fleet, "_read_some", fail)
    read_all(boss)


def test_before_the_tables_are_there(boss):
    """A change says what to do; everything else is as if nobody had ever set anything."""
    call_command("migrate", "cache_core_django", "0001", verbosity=0)
    try:
        read_all(boss)
        assert "migrate" in boss.save(ramp_local="5").content.decode()
        data = {"off": "1", "why": "x"}
        assert "migrate" in boss.post("kill_switch", **data).content.decode()
    finally:
        call_command("migrate", "cache_core_django", verbosity=0)


def test_when_the_tables_were_lost(boss):
    """After the process has seen them."""
    boss.save(ramp_local="5", why="known")
    call_command("migrate", "cache_core_django", "0001", verbosity=0)
    try:
        assert "known" in read_all(boss)["changelist",]
    finally:
        call_command("migrate", "cache_core_django", verbosity=0)


def test_with_settings_that_are_wrong(boss):
    """Each page says what is wrong with them, where no middleware has said so at the start."""
    others = [name for name in settings.MIDDLEWARE if "CacheScope" not in name]
    with override_settings(CACHE_CORE={"REDIS": 5}, MIDDLEWARE=others):
        texts = read_all(boss)
        assert "expected a URL" in texts["changelist",]
        assert "expected a URL" in texts["doctor",]


def test_with_rows_that_are_damaged(boss):
    """They are passed over and told of; a save by hand mends them."""
    UseCaseOverride.objects.create(use_case=NAME, steps="x", more=[1])
    cache.control.refresh()
    assert "is damaged and passed over" in read_all(boss)["changelist",]
    boss.save(ramp_local="5")
    assert cache.policy(NAME).local.ramp == 5


def test_when_the_log_of_django_is_away(boss, monkeypatch):
    """The change was made: that is what is said, and our own history has it."""
    from django_ext.admin import UseCaseAdmin

    def fail(*_):
        raise DatabaseError("no log")

    monkeypatch.setattr(UseCaseAdmin, "log_change", fail)
    assert f"{NAME} was changed." in boss.save(ramp_local="5").content.decode()
    assert cache.control.history(NAME)[0].by == "boss"
