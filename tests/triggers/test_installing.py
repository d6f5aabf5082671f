"""Triggers are put on tables, taken off, and brought up to date."""

from __future__ import annotations

import pytest

from cache_core.errors import DeclarationError, NotConfigured
from cache_core.postgres import IdRule, OutboxTable, TrackedTable
from cache_core.postgres.quoting import identifier, literal
from tests.triggers.conftest import ODD, WATCHED

pytestmark = pytest.mark.postgres

BOOK = TrackedTable("shop.book", (IdRule("book", ("id",)),))


@pytest.fixture
def owner(program):
    """A program whose changes of the schema are undone."""
    program.connection.autocommit = False
    yield program
    program.connection.rollback()


def states(triggers):
    return {each.table: each.state for each in triggers.status()}


def test_what_is_current_is_not_touched(owner):
    """A second installation takes no lock that a writer would wait for."""
    assert owner.triggers().install() == []
    locks = owner.run("SELECT mode FROM pg_locks WHERE pid = pg_backend_pid()")
    assert {mode for (mode,) in locks} <= {"AccessShareLock", "ExclusiveLock"}


def test_the_status_names_every_table(owner):
    """With its schema, quoted; and says what is told of more coarsely."""
    found = owner.triggers().status()
    assert {each.table for each in found} == {
        '"shop"."author"',
        '"shop"."book"',
        '"shop"."code"',
        '"shop"."event"',
        ODD,
    }
    assert {each.state for each in found} == {"current"}
    assert [each.notes for each in found if each.notes] == [("every menu: told by a callable",)]


def test_another_rule_is_another_version(owner):
    """A model that is tracked by one more column has outdated triggers until they are installed."""
    more = [*WATCHED, TrackedTable("shop.author", (IdRule("name", ("name",)),))]
    assert states(owner.triggers(more))['"shop"."author"'] == "outdated"
    assert owner.triggers(more).install() == ['"shop"."author"']
    owner.run("INSERT INTO shop.author VALUES (7, 'Ada')")
    assert owner.told() == {"author:7", "name:Ada"}


def test_the_order_of_rules_is_no_difference(owner):
    """Declarations may move about in a project."""
    assert set(states(owner.triggers(WATCHED[::-1])).values()) == {"current"}


def test_a_table_that_is_tracked_no_more_is_let_alone(owner):
    """Its triggers go at the next installation."""
    owner.triggers([BOOK]).install()
    owner.run("INSERT INTO shop.author VALUES (7)")
    assert owner.rows() == []


def test_a_table_that_was_renamed_is_found(owner):
    """Its triggers went along with it, and are replaced."""
    owner.run("ALTER TABLE shop.book RENAME TO work")
    work = TrackedTable("shop.work", BOOK.rules)
    assert states(owner.triggers([work])) == {'"shop"."work"': "missing"}
    owner.triggers([work]).install()
    owner.run("INSERT INTO shop.work VALUES (1)")
    assert owner.rows() == [["{book:+}", "{book:1}"]]


@pytest.mark.parametrize(
    "what", ["DISABLE TRIGGER USER", "ADD note text", "DETACH PARTITION shop.event_1"]
)
def test_only_what_matters_makes_a_difference(owner, what):
    """Switched off triggers are as good as none; another column is nothing to them."""
    table = "shop.event" if "PARTITION" in what else "shop.book"
    owner.run(f"ALTER TABLE {table} {what}")
    name = table.replace(".", '"."')
    wanted = "missing" if "DISABLE" in what else "current"
    assert states(owner.triggers())[f'"{name}"'] == wanted
    owner.triggers().install()
    assert states(owner.triggers())[f'"{name}"'] == "current"


def test_a_new_partition_lacks_triggers(owner):
    """A statement that names it would not be seen; one that names the whole table is."""
    owner.run("CREATE TABLE shop.event_2 PARTITION OF shop.event FOR VALUES FROM (10) TO (20)")
    (event,) = [each for each in owner.triggers().status() if each.table == '"shop"."event"']
    assert event.state == "missing"
    assert event.notes == ('no trigger on "shop"."event_2"',)
    owner.triggers().install()
    owner.run("INSERT INTO shop.event_2 VALUES (5, 15)")
    assert owner.told() == {"event:5"}


@pytest.mark.parametrize("name", ["shop.nothing", "shop.titles"])
def test_what_is_no_table_is_left_out(owner, name):
    """It may come with a later migration; views have no triggers of this kind."""
    triggers = owner.triggers([BOOK, TrackedTable(name, BOOK.rules)])
    triggers.install()
    assert states(triggers) == {'"shop"."book"': "current", name: "no table"}


def test_dropping_leaves_nothing(owner):
    """Neither functions nor triggers; writes go on."""
    assert len(owner.triggers().drop()) == 4 + 5
    assert not owner.triggers().is_used()
    assert set(states(owner.triggers()).values()) == {"missing"}
    assert owner.run("SELECT 1 FROM pg_trigger WHERE tgname LIKE 'cache_core%'") == []
    owner.run("INSERT INTO shop.author VALUES (7)")
    assert owner.rows() == []


def test_the_script_installs_as_well(owner):
    """For those who let nobody but their own tools change the schema."""
    script = owner.triggers().sql()
    owner.triggers().drop()
    owner.run(script)
    assert set(states(owner.triggers()).values()) == {"current"}


def test_caches_that_share_a_table_have_triggers_of_their_own(owner):
    """One does not take the rows of the other for its own, nor its triggers."""
    owner.run("CREATE TABLE common (id serial PRIMARY KEY, owner text, things text)")
    for name in ("a", "b"):
        values = {"owner": literal(name), "things": "things::text"}
        outbox = OutboxTable("common", values, name, f"NEW.owner = {literal(name)}")
        owner.triggers([BOOK], outbox).install()
    owner.run("INSERT INTO shop.book VALUES (1)")
    owner.run("INSERT INTO common (owner, things) VALUES ('a', '[\"{book:1}\", \"{book:+}\"]')")
    assert owner.run("SELECT owner, count(*) FROM common GROUP BY 1 ORDER BY 1") == [
        ("a", 1),
        ("b", 1),
    ]


def test_without_an_outbox_nothing_is_installed(owner):
    """The error names the table."""
    with pytest.raises(NotConfigured, match="nowhere"):
        owner.triggers(outbox=OutboxTable("nowhere", {"things": "things"})).install()


def test_a_rule_needs_a_key_type():
    """As everywhere."""
    with pytest.raises(DeclarationError, match="key_type"):
        IdRule("")


@pytest.mark.parametrize("wrong", ["", "a\0b"])
def test_what_is_no_name_is_refused(wrong):
    """PostgreSQL would cut it, or refuse it less clearly."""
    with pytest.raises(ValueError, match="no name"):
        identifier(wrong)


def test_a_text_with_nul_is_refused():
    """PostgreSQL stores none."""
    with pytest.raises(ValueError, match="no text"):
        literal("a\0b")
