"""Writes of other programs to tables of tracked models: the triggers, their commands and checks."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from threading import Event, Thread

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import connection, connections, models, transaction
from django.db.migrations.state import ProjectState
from django.db.models.signals import post_migrate
from django.test import override_settings
from django.test.utils import isolate_apps

from cache_core.errors import NotConfigured
from cache_core.testing import FakeClock, FakeStore
from django_ext import cache as project_cache
from django_ext import outbox as outbox_module
from django_ext import relaying
from django_ext.checks import check_settings
from django_ext.doctor import examine
from django_ext.live import TAG
from django_ext.mapping import Mapping
from django_ext.models import OutboxRow
from django_ext.operations import CacheTriggers
from django_ext.tracking import tracker
from django_ext.transactions import Writes
from django_ext.triggers import install, tracked_tables, triggers_of
from tests.django.library.models import (
    Author,
    Book,
    Place,
    Tag,
)
from tests.django.postgres import as_default, settings_of

psycopg = pytest.importorskip("psycopg")
pytestmark = [pytest.mark.postgres, pytest.mark.usefixtures("django_database")]

LONG = 20.0
"""Seconds that no test waits, unless what it waits for does not come."""


@pytest.fixture
def store():
    """What is invalidated arrives here."""
    return FakeStore(project_cache.clock)


@pytest.fixture
def database(request, store, monkeypatch):
    """Django's database is PostgreSQL, with an outbox whose rows are due at once."""
    server = request.getfixturevalue("postgres")
    monkeypatch.setattr(outbox_module, "PATIENCE", timedelta(0))
    with (
        as_default(settings_of(server)),
        override_settings(CACHE_CORE={"OUTBOX": True, "REMOTE": store}),
    ):
        yield server
        monkeypatch.undo()
        clear()
    project_cache.reload()


def clear():
    if triggers_of("default").is_used():
        triggers_of("default").drop()
    names = [model._meta.db_table for model in (Author, Book, Tag, Place)]
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(names)} CASCADE")
    OutboxRow.objects.all().delete()  # this process has told of that


@pytest.fixture
def program(database):
    """Another program, in a database with triggers."""
    install("default")
    with psycopg.connect(
        host=database.host, port=database.port, user="postgres", autocommit=True
    ) as other:
        yield other


def told():
    """What the rows tell of that nobody has delivered, as readable names; they are gone then."""
    rows = list(OutboxRow.objects.filter(delivered_at=None))
    OutboxRow.objects.all().delete()
    return {thing.strip("{}") for row in rows for thing in row.things if not thing.endswith("+}")}


def command(*words):
    out = StringIO()
    call_command("cache_core", *words, stdout=out)
    return out.getvalue()


def rules():
    """The rules of each table, as pairs of a key type and columns."""
    found = {}
    for table in tracked_tables("default"):
        for rule in table.rules:
            found.setdefault(table.relation.strip('"'), set()).add((rule.key_type, rule.columns))
    return found


# -- which columns hold the ids --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("library_book", {("book_id", ("id",)), ("author_id", ("author_id",))}),
        # A child shares the key of its parent, and may have columns there.
        ("library_place", {("place_id", ("id",)), ("shop_id", ("id",)), ("city", ("city",))}),
        (
            "library_shop",
            {("place_id", ("place_ptr_id",)), ("shop_id", ("place_ptr_id",)), ("city", ())},
        ),
        (
            "library_bookshop",
            {("place_id", ("shop_ptr_id",)), ("shop_id", ("shop_ptr_id",)), ("city", ())},
        ),
        # Of two parents only one gives the key.
        ("library_stall", {("stall_id", ("ground_ptr_id",))}),
        ("library_ground", {("stall_id", ("plot",))}),
        ("library_vendor", {("stall_id", ())}),
        # Rows of a relation are part of the models on either side.
        ("library_book_tags", {("book_id", ("book_id",)), ("author_id", ())}),
        ("library_loan", {("reader_id", ("reader",)), ("branch_id", ())}),
    ],
)
def test_a_table_has_the_columns_of_its_mappings(table, wanted):
    """As far as SQL can tell the ids; else the whole key type is invalidated."""
    assert rules()[table] == wanted


def test_what_is_ignored_has_no_trigger():
    """``bulk="ignore"`` is for tables that are written all day."""
    assert "library_draft" not in rules()


class Named(models.CharField):
    def from_db_value(self, value, *_):
        return f"name-{value}"


@pytest.mark.parametrize("name", ["day", "name"])
@isolate_apps("tests.django.library")
def test_a_type_whose_text_may_differ_goes_as_a_whole(name, monkeypatch):
    """A wrong id would be a lost invalidation."""

    class Amount(models.Model):
        day = models.DateField()
        name = Named(max_length=10)

        class Meta:
            app_label = "library"

        def __str__(self):
            return self.name

    monkeypatch.setattr(tracker, "mappings", [Mapping(Amount, "amount", name)])
    assert rules() == {"library_amount": {("amount", ())}}


# -- writes ----------------------------------------------------------------------------------------


def test_another_program_invalidates(program, store):
    """Without anybody who listens, the next look delivers it."""
    program.execute("INSERT INTO library_author (id, name) VALUES (7, 'Ada')")
    assert project_cache.outbox.waiting() == {"default": 1}
    assert project_cache.outbox.relay() == 1
    assert "{author_id:7}" in store.versions
    assert "{author_id:+}" in store.versions
    assert project_cache.outbox.waiting() == {"default": 0}


def test_all_kinds_of_tables_tell(program):
    """Parents, children, relations."""
    program.execute("INSERT INTO library_place (id, city) VALUES (5, 'Rome')")
    assert told() == {"place_id:5", "shop_id:5", "city:Rome"}
    program.execute("INSERT INTO library_shop (place_ptr_id, name) VALUES (5, 'Pens')")
    assert told() == {"place_id:5", "shop_id:5", "city:*"}
    author = Author.objects.create(name="Ada")
    book, tag = Book.objects.create(author=author), Tag.objects.create()
    told()
    program.execute(f"INSERT INTO library_book_tags (book_id, tag_id) VALUES ({book.pk}, {tag.pk})")
    assert told() == {f"book_id:{book.pk}", "author_id:*"}


@pytest.fixture
def dies(monkeypatch):
    """After COMMIT the process is gone, so rows stay as they were written."""
    monkeypatch.setattr(Writes, "deliver", lambda self: None)


@pytest.mark.usefixtures("program", "dies")
def test_what_this_process_tells_is_told_once():
    """Its own row takes the place of those of the triggers, in one transaction after another."""
    with transaction.atomic():
        author = Author.objects.create(name="Ada")
        author.save()
    author.save()
    Author.objects.filter(pk=author.pk).update(name="Grace")
    rows = OutboxRow.objects.order_by("pk")
    own = ["{author_id:+}", f"{{author_id:{author.pk}}}"]
    assert [sorted(row.things) for row in rows] == [own, own, own]


def test_a_write_of_this_process_leaves_nothing_to_deliver(program):
    """A second invalidation would cost every reader a miss."""
    with transaction.atomic():
        Author.objects.create(name="Ada")
    assert project_cache.outbox.waiting() == {"default": 0}


# -- listening -------------------------------------------------------------------------------------


class Arrivals(FakeStore):
    """Says when something arrives."""

    def __init__(self):
        super().__init__(FakeClock())
        self.arrived = Event()

    def perform(self, operation):
        done = super().perform(operation)
        if any(name.startswith("{author_id:") for name in self.versions):
            self.arrived.set()
        return done


@pytest.fixture
def store_that_tells():
    return Arrivals()


def test_the_relay_is_woken_up(program, database, store_that_tells, monkeypatch):
    """Long before its next look; also after the connection was lost."""
    stopped, listens = Event(), Event()

    class Stopping(relaying.Listener):
        def wait(self, seconds):
            if stopped.is_set():
                return True
            try:
                return super().wait(0.05)
            finally:
                listens.set()

    looks = []

    def relay(outbox):
        looks.append(outbox)
        if stopped.is_set():
            raise KeyboardInterrupt
        return original(outbox)

    original = outbox_module.Outbox.relay
    monkeypatch.setattr(outbox_module.Outbox, "relay", relay)
    monkeypatch.setattr(relaying, "Listener", Stopping)
    monkeypatch.setattr(relaying, "PAUSE", LONG)
    out = StringIO()

    def run():
        try:
            with override_settings(CACHE_CORE={"OUTBOX": True, "REMOTE": store_that_tells}):
                call_command("cache_core", "relay", "--listen", stdout=out)
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    try:
        assert listens.wait(LONG)
        program.execute("INSERT INTO library_author (id, name) VALUES (7, 'Ada')")
        assert store_that_tells.arrived.wait(LONG / 2)
    finally:
        stopped.set()
        thread.join(LONG)
    assert "1 delivered" in out.getvalue()


def test_only_postgresql_can_be_listened_to(store):
    """The command says so."""
    with (
        override_settings(CACHE_CORE={"OUTBOX": True, "REMOTE": store}),
        pytest.raises(CommandError, match="needs an outbox in PostgreSQL"),
    ):
        call_command("cache_core", "relay", "--listen")


def test_an_alias_to_listen_on_must_exist(database):
    """A wrong one would never be heard."""
    with pytest.raises(CommandError, match="give an alias of DATABASES"):
        call_command("cache_core", "relay", "--listen", "nowhere")


# -- the command -----------------------------------------------------------------------------------


def test_the_command_installs_shows_and_drops(database):
    """What is current needs nothing; what is not makes the exit code 1."""
    with pytest.raises(SystemExit):
        command("triggers", "status")
    assert 'Installed on "public"."library_author"' in command("triggers", "install")
    assert command("triggers", "install").strip() == "All triggers are current."
    shown = json.loads(command("triggers", "status", "--json"))
    loan = next(each for each in shown if "library_loan" in each["table"])
    assert loan == {
        "table": '"public"."library_loan"',
        "state": "current",
        "notes": ["every branch_id: a callable tells the ids"],
    }
    assert "were dropped" in command("triggers", "drop")
    with pytest.raises(SystemExit):
        command("triggers", "status")


def test_the_script_can_be_run_by_others(database):
    """It has the same effect."""
    with connection.cursor() as cursor:
        cursor.execute(command("triggers", "sql"))
    assert command("triggers", "install").strip() == "All triggers are current."


def test_a_table_that_is_busy_is_not_waited_for(database, elsewhere):
    """A trigger that waits would make every new writer wait behind it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE library_author IN ROW EXCLUSIVE MODE")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("django_ext.triggers.LOCK_TIMEOUT", "10ms")
            with pytest.raises(CommandError, match="lock timeout"):
                elsewhere(command, "triggers", "install")


def test_without_an_outbox_nothing_is_installed(database, store):
    """Nobody would deliver what the triggers write."""
    with override_settings(CACHE_CORE={"REMOTE": store}):
        with pytest.raises(CommandError, match="Nobody would deliver"):
            command("triggers", "install")
        operation, state = CacheTriggers(), ProjectState()
        with connection.schema_editor() as editor:
            operation.database_forwards("library", editor, state, state)
        assert not triggers_of("default").is_used()


def test_listening_needs_psycopg_3(database, monkeypatch):
    """psycopg2 hears otherwise."""
    monkeypatch.delattr(psycopg, "AsyncConnection")
    with pytest.raises(CommandError, match="needs psycopg 3"):
        call_command("cache_core", "relay", "--listen")


def test_other_databases_have_no_triggers_of_ours():
    """The error names the database."""
    with pytest.raises(CommandError, match="'default' is sqlite"):
        command("triggers", "install")


# -- migrations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
def test_migrate_brings_them_up_to_date(database, store, wanted):
    """Where the setting asks for it."""
    given = {"OUTBOX": True, "TRIGGERS": wanted, "REMOTE": store}
    with override_settings(CACHE_CORE=given):
        call_command("migrate", verbosity=0)
        assert triggers_of("default").is_used() is wanted


def test_an_operation_of_a_migration(database):
    """Forwards it installs, backwards it drops, and elsewhere it does nothing."""
    operation, state = CacheTriggers(), ProjectState()
    operation.state_forwards("library", state)
    with connection.schema_editor() as editor:
        operation.database_forwards("library", editor, state, state)
    assert triggers_of("default").is_used()
    with connection.schema_editor() as editor:
        operation.database_backwards("library", editor, state, state)
    assert not triggers_of("default").is_used()
    assert "triggers" in operation.describe()


def test_an_operation_elsewhere_does_nothing():
    """Projects develop on SQLite."""
    operation, state = CacheTriggers(), ProjectState()
    with connection.schema_editor() as editor:
        operation.database_forwards("library", editor, state, state)
        operation.database_backwards("library", editor, state, state)


@pytest.mark.parametrize(
    ("given", "problem"),
    [({"TRIGGERS": True}, "without an OUTBOX"), ({"OUTBOX": True, "TRIGGERS": "yes"}, "'yes'")],
)
def test_a_wrong_setting_is_told_of(given, problem):
    """The triggers write to the outbox, so there must be one."""
    with override_settings(CACHE_CORE=given):
        (error,) = check_settings()
    assert error.id == "cache_core.E001"
    assert problem in error.msg


# -- checks ----------------------------------------------------------------------------------------


def ids(messages):
    return [message.id for message in messages]


def live(**options):
    return run_checks(tags=[TAG], include_deployment_checks=True, **options)


def test_live_checks_ask_when_they_are_asked(database, store):
    """With the names of databases only; Django 6.1 names all where a tag asks and nobody says which."""
    store.down = True
    assert live(databases=[]) == []
    assert ids(live(databases=["default"])) == ["cache_core.store.unreachable"]


def test_live_checks_find_outdated_triggers(program):
    """Where the project uses any."""
    assert live(databases=["default"]) == []
    assert live(databases=["other"]) == []
    program.execute("ALTER TABLE library_author DISABLE TRIGGER USER")
    assert ids(live(databases=["default"])) == ["cache_core.triggers.missing"]
    triggers_of("default").drop()
    assert live(databases=["default"]) == []


def test_live_checks_miss_the_outbox(database, monkeypatch):
    """Before `migrate` there is none."""
    monkeypatch.setattr(OutboxRow._meta, "db_table", "not_migrated")
    assert ids(live(databases=["default"])) == ["cache_core.outbox.no_table"]
    with pytest.raises(NotConfigured, match="not_migrated"):
        triggers_of("default").status()


def test_the_doctor_finds_outdated_triggers(program, monkeypatch):
    """The finding says what to run."""
    monkeypatch.setattr(tracker, "mappings", [Mapping(Author, "another_id")])
    (finding,) = [each for each in examine(project_cache) if each.id.startswith("triggers")]
    assert finding.id == "triggers.outdated"
    assert "library_author" in finding.text
    assert "triggers install --database default" in finding.remedy


def test_the_receiver_is_connected_once():
    """For each `migrate`, not for each app."""
    label = "cache_core_django"
    from django.apps import apps

    receivers = post_migrate._live_receivers(apps.get_app_config(label))[0]
    assert "install_after_migrate" in [each.__name__ for each in receivers]
