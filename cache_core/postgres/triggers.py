"""Puts the triggers on the tables of a database, takes them off, and tells how they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cache_core.errors import NotConfigured
from cache_core.postgres.functions import EVENTS, Functions
from cache_core.postgres.quoting import identifier, literal
from cache_core.postgres.tables import OutboxTable, TrackedTable

Execute = Callable[[str], Sequence[Sequence[Any]]]
"""Carries out one statement, in which a percent sign is a percent sign; returns the rows, if any."""

CURRENT, OUTDATED, MISSING, NO_TABLE = "current", "outdated", "missing", "no table"

_WATCHABLE = {"r", "p"}
"""Ordinary and partitioned tables; views and foreign tables have no such triggers."""


@dataclass(frozen=True, slots=True)
class State:
    """How the triggers of one table are.

    Args:
        table: Its name, with its schema; as it was given where there is no such table.
        state: "current", "outdated", "missing" or "no table".
        notes: What is invalidated more coarsely than the application does it, and why.
    """

    table: str
    state: str
    notes: tuple[str, ...] = ()


class _Relation(NamedTuple):
    oid: int
    schema: str
    name: str
    kind: str

    @property
    def quoted(self) -> str:
        return identifier(self.schema, self.name)


class _Watched(NamedTuple):
    """A tracked table as the database has it, with its partitions; the table itself is the first."""

    table: TrackedTable
    relations: list[_Relation]
    last: str
    text: str


class Triggers:
    """The triggers of one database.

    Args:
        execute: Carries out statements. What ``install`` and ``drop`` do is one piece where they are
            called in a transaction.
        outbox: Where the triggers write to.
        tables: The tables to be watched; several about the same table add up.
    """

    def __init__(
        self, execute: Execute, outbox: OutboxTable, tables: Iterable[TrackedTable]
    ) -> None:
        self._execute = execute
        self._outbox = outbox
        self._tables = _merged(tables)

    @property
    def channel(self) -> str:
        """The channel of NOTIFY, for a ``Listener``.

        Raises:
            NotConfigured: The database has no outbox.
        """
        return self._functions().channel

    def status(self) -> list[State]:
        """How the triggers of each table are; reads the catalogue only."""
        functions = self._functions()
        found = self._watched(functions)
        states = [self._state(functions, each) for each in found]
        seen = {each.table.relation for each in found}
        return states + [
            State(table.relation, NO_TABLE) for table in self._tables if table.relation not in seen
        ]

    def is_used(self) -> bool:
        """Whether there is any trigger of ours."""
        return bool(self._installed(self._functions()))

    def sql(self) -> str:
        """All that ``install`` would do on a database without triggers, as a script."""
        functions = self._functions()
        statements = list(self._shared(functions))
        for watched in self._watched(functions):
            statements += self._table_statements(functions, watched)
        return "\n".join([f"{each};\n" for each in statements])

    def install(self) -> list[str]:
        """Brings all triggers up to date; what is current is not touched, so that nothing waits.

        Returns:
            The tables that got new triggers.

        Raises:
            NotConfigured: The database has no outbox.
        """
        functions = self._alone()
        watched = self._watched(functions)
        stale = [each for each in watched if self._state(functions, each).state != CURRENT]
        if stale or not self._heeds(functions):
            self._run(self._shared(functions))
        for each in stale:
            self._run(self._table_statements(functions, each))
        self._drop_others(functions, {functions.prefix + each.last for each in watched})
        return [each.relations[0].quoted for each in stale]

    def drop(self) -> list[str]:
        """Takes off every trigger and function of ours; returns the functions' names."""
        functions = self._alone()
        names = self._installed(functions)
        for name in names:
            # The triggers go with it.
            self._execute(f"DROP FUNCTION IF EXISTS {identifier(*name)} CASCADE")
        return [name for _, name in names]

    def _alone(self) -> Functions:
        """Waits for others that install at the same time, as the hosts of a deployment may do."""
        functions = self._functions()
        self._execute(f"SELECT pg_catalog.pg_advisory_xact_lock({int(functions.id, 16)})")
        return functions

    def _functions(self) -> Functions:
        relation = literal(self._outbox.relation)
        rows = self._execute(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            f" WHERE c.oid = pg_catalog.to_regclass({relation})"
        )
        if not rows:
            raise NotConfigured(
                f"There is no table {self._outbox.relation} in this database, which the triggers "
                "write to; create it first."
            )
        schema, table = rows[0]
        return Functions(schema, table, self._outbox)

    def _watched(self, functions: Functions) -> list[_Watched]:
        found = []
        for table in self._tables:
            relations = self._relations(table.relation)
            if relations:
                last = functions.of_table(relations[0].schema, relations[0].name)
                text = functions.table_function(last, table)
                found.append(_Watched(table, relations, last, text))
        return found

    def _relations(self, relation: str) -> list[_Relation]:
        """A table and what inherits from it: a statement fires the triggers of the one it names."""
        rows = self._execute(
            "WITH RECURSIVE tree AS ("
            f" SELECT pg_catalog.to_regclass({literal(relation)})::oid AS oid, 0 AS depth"
            " UNION ALL SELECT i.inhrelid, tree.depth + 1"
            " FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid)"
            " SELECT c.oid::bigint, n.nspname, c.relname, c.relkind::text, min(tree.depth)"
            " FROM tree JOIN pg_catalog.pg_class c USING (oid)"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " GROUP BY 1, 2, 3, 4 ORDER BY 5, 2, 3"
        )
        found = [_Relation(*row[:4]) for row in rows]
        return [each for each in found if each.kind in _WATCHABLE]

    def _state(self, functions: Functions, watched: _Watched) -> State:
        notes = tuple(
            [f"every {each.key_type}: {each.why}" for each in watched.table.rules if each.why]
        )
        first = watched.relations[0].quoted
        version = self._version(functions, watched.last)
        if version is None:
            return State(first, MISSING, notes)
        if version != functions.version(watched.text) or not self._heeds(functions):
            return State(first, OUTDATED, notes)
        bare = self._without_triggers(functions, watched)
        told = tuple([f"no trigger on {name}" for name in bare])
        return State(first, MISSING if bare else CURRENT, (*told, *notes))

    def _version(self, functions: Functions, last: str) -> str | None:
        name = literal(f"{functions.name(last)}()")
        rows = self._execute(
            "SELECT pg_catalog.obj_description(oid, 'pg_proc') FROM pg_catalog.pg_proc"
            f" WHERE oid = pg_catalog.to_regprocedure({name})"
        )
        return (rows[0][0] or "") if rows else None

    def _without_triggers(self, functions: Functions, watched: _Watched) -> list[str]:
        oids = ", ".join([str(each.oid) for each in watched.relations])
        rows = self._execute(
            "SELECT tgrelid::bigint FROM pg_catalog.pg_trigger"
            f" WHERE tgrelid IN ({oids}) AND tgenabled IN ('O', 'A')"
            f" AND tgfoid = pg_catalog.to_regprocedure({literal(functions.name(watched.last) + '()')})"
            f" GROUP BY 1 HAVING count(*) = {len(EVENTS)}"
        )
        complete = {row[0] for row in rows}
        return [each.quoted for each in watched.relations if each.oid not in complete]

    def _heeds(self, functions: Functions) -> bool:
        text = functions.heed()
        if self._version(functions, "heed") != functions.version(text):
            return False
        rows = self._execute(
            "SELECT 1 FROM pg_catalog.pg_trigger WHERE tgenabled IN ('O', 'A')"
            f" AND tgrelid = pg_catalog.to_regclass({literal(self._outbox.relation)})"
            f" AND tgfoid = pg_catalog.to_regprocedure({literal(functions.name('heed') + '()')})"
        )
        return bool(rows)

    def _shared(self, functions: Functions) -> Iterator[str]:
        arguments = {"escape": "text", "things": "text, text[]", "tell": "text[]"}
        for last, text in functions.shared().items():
            yield text
            name = f"{functions.name(last)}({arguments[last]})"
            yield f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC"
        yield from _function(functions, "heed", functions.heed())
        yield (
            f"CREATE OR REPLACE TRIGGER {identifier(functions.prefix + 'heed')}"
            f" AFTER INSERT ON {self._outbox.relation} FOR EACH ROW"
            f" WHEN ({functions.heed_condition()}) EXECUTE FUNCTION {functions.name('heed')}()"
        )

    def _table_statements(self, functions: Functions, watched: _Watched) -> Iterator[str]:
        yield from _function(functions, watched.last, watched.text)
        for relation in watched.relations:
            for event, rows in EVENTS.items():
                name = identifier(functions.prefix + event.lower())
                yield (
                    f"CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {relation.quoted} {rows}"
                    f" FOR EACH STATEMENT EXECUTE FUNCTION {functions.name(watched.last)}()"
                )

    def _installed(self, functions: Functions) -> list[tuple[str, str]]:
        """The schema and name of each function of ours."""
        prefix = literal(functions.prefix)
        rows = self._execute(
            "SELECT n.nspname, p.proname FROM pg_catalog.pg_proc p"
            " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
            f" WHERE pg_catalog.starts_with(p.proname, {prefix})"
            f" AND n.oid = (SELECT relnamespace FROM pg_catalog.pg_class"
            f" WHERE oid = pg_catalog.to_regclass({literal(self._outbox.relation)}))"
            " ORDER BY 1, 2"
        )
        return [(schema, name) for schema, name in rows]

    def _drop_others(self, functions: Functions, wanted: set[str]) -> None:
        """Takes the triggers off tables that are tracked no more, or have another name now."""
        shared = {functions.prefix + last for last in (*functions.shared(), "heed")}
        for schema, name in self._installed(functions):
            if name not in wanted | shared:
                self._execute(f"DROP FUNCTION {identifier(schema, name)}() CASCADE")

    def _run(self, statements: Iterable[str]) -> None:
        for statement in statements:
            self._execute(statement)


def _function(functions: Functions, last: str, text: str) -> Iterator[str]:
    name = f"{functions.name(last)}()"
    yield text
    yield f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC"
    yield f"COMMENT ON FUNCTION {name} IS {literal(functions.version(text))}"


def _merged(tables: Iterable[TrackedTable]) -> list[TrackedTable]:
    """One for each table, whose rules are each there once and in a stable order."""
    rules: dict[str, dict[Any, None]] = {}
    for table in tables:
        rules.setdefault(table.relation, {}).update(dict.fromkeys(table.rules))
    return [
        TrackedTable(relation, tuple(sorted(found, key=lambda rule: (rule.key_type, rule.columns))))
        for relation, found in sorted(rules.items())
    ]
