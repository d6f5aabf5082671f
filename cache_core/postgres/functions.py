"""The functions behind the triggers, as text.

All of them run with the rights of whoever installed them, since the programs that write the tables
need not be allowed to write the outbox. So they trust no search path.

What a transaction has told of is kept in a setting that is local to it, which PostgreSQL takes back
with a savepoint: a second row about the same would be a second invalidation. It is a text of things
with spaces between them, which no thing contains. A row that an
application inserts itself replaces those of the triggers that it covers.
"""

from __future__ import annotations

from hashlib import blake2b

from cache_core.postgres.quoting import array, block, identifier, literal
from cache_core.postgres.tables import IdRule, OutboxTable, TrackedTable

FORMAT = 1
"""Counts changes of what the functions do; part of their version."""

MOST = 1000
"""Most entities of a key type that a statement names; beyond it the whole type is invalidated."""

LONGEST = 20_000
"""Characters of what a transaction has told of, beyond which it tells of whole types."""

EVENTS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}
"""The statements that fire, and the rows that their triggers see."""

_ROWS = {"INSERT": ("new_rows",), "UPDATE": ("old_rows", "new_rows"), "DELETE": ("old_rows",)}
_SAFE = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"


class Functions:
    """The texts for one outbox.

    Args:
        schema: Where the outbox is, and the functions with it.
        table: The outbox's table, without its schema.
        outbox: What else is known of it.

    Attributes:
        id: A hexadecimal number that tells it from other outboxes.
        prefix: What the names of all functions and triggers begin with.
        channel: The channel of NOTIFY.
    """

    def __init__(self, schema: str, table: str, outbox: OutboxTable) -> None:
        self._schema = schema
        self._outbox = outbox
        self._table = identifier(schema, table)
        self.id = _digest(schema, table, outbox.owner)
        self.prefix = f"cache_core_{self.id}_"
        self.channel = f"cache_core_{self.id}"

    def name(self, last: str) -> str:
        """The quoted name of one function."""
        return identifier(self._schema, self.prefix + last)

    def of_table(self, schema: str, table: str) -> str:
        """The last part of the name of a table's function."""
        return _digest(schema, table)

    def version(self, text: str) -> str:
        """What is noted with a function: another text, here or in what it calls, is another version."""
        digest = _digest(text, *self.shared().values())
        return f"cache_core {FORMAT} {digest}"

    def shared(self) -> dict[str, str]:
        """The functions that all tables share, by the last parts of their names."""
        return {"escape": self._escape(), "things": self._things(), "tell": self._tell()}

    def heed(self) -> str:
        """The function of the outbox's own trigger; see the module."""
        return self._trigger("heed", _HEED.format(table=self._table, **self._settings()))

    def heed_condition(self) -> str:
        """When it is called: not for the rows of triggers."""
        own = self._outbox.is_own
        return "pg_catalog.pg_trigger_depth() = 0" + (f" AND ({own})" if own else "")

    def table_function(self, last: str, table: TrackedTable) -> str:
        """The function of a tracked table.

        A column that was renamed must not make the writes of a table fail: all is told of then.
        """
        every = array([thing for rule in table.rules for thing in _every(rule)])
        branches = [
            f"ELSIF TG_OP = {literal(event)} THEN\n{self._branch(table, rows)}"
            for event, rows in _ROWS.items()
        ]
        body = _TABLE.format(
            columns=array(table.columns, "name"),
            number=len(table.columns),
            every=every,
            branches="\n    ".join(branches),
            tell=self.name("tell"),
        )
        return self._trigger(last, body)

    def _branch(self, table: TrackedTable, rows: tuple[str, ...]) -> str:
        known = [rule for rule in table.rules if rule.columns]
        unknown = [thing for rule in table.rules if not rule.columns for thing in _every(rule)]
        lines = [
            f"        things := things || {self.name('things')}({literal(rule.name)},"
            f" {_ids(rule, rows)});"
            for rule in known
        ]
        if unknown:
            some = " OR ".join([f"EXISTS (SELECT FROM {each})" for each in rows])
            lines.append(_UNKNOWN.format(some=some, things=array(unknown)))
        return "\n".join(lines)

    def _trigger(self, last: str, body: str) -> str:
        return (
            f"CREATE OR REPLACE FUNCTION {self.name(last)}() RETURNS trigger\n"
            f"LANGUAGE plpgsql {_SAFE} AS {block(body)}"
        )

    def _escape(self) -> str:
        return (
            f"CREATE OR REPLACE FUNCTION {self.name('escape')}(id text) RETURNS text\n"
            f"LANGUAGE plpgsql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS {block(_ESCAPE)}"
        )

    def _things(self) -> str:
        body = _THINGS.format(most=MOST, escape=self.name("escape"))
        return (
            f"CREATE OR REPLACE FUNCTION {self.name('things')}(name text, ids text[]) RETURNS text[]\n"
            f"LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS {block(body)}"
        )

    def _tell(self) -> str:
        values = self._outbox.values
        body = _TELL.format(
            longest=LONGEST,
            table=self._table,
            relation=literal(self._table),
            columns=", ".join([identifier(name) for name in values]),
            values=", ".join(values.values()),
            channel=literal(self.channel),
            **self._settings(),
        )
        return (
            f"CREATE OR REPLACE FUNCTION {self.name('tell')}(changed text[]) RETURNS void\n"
            f"LANGUAGE plpgsql {_SAFE} AS {block(body)}"
        )

    def _settings(self) -> dict[str, str]:
        """The settings that are local to a transaction: what it told of, and in which rows."""
        names = {"told": f"cache_core.told_{self.id}", "rows": f"cache_core.rows_{self.id}"}
        return {key: literal(name) for key, name in names.items()}


def _every(rule: IdRule) -> tuple[str, str]:
    return f"{{{rule.name}:*}}", f"{{{rule.name}:+}}"


def _ids(rule: IdRule, rows: tuple[str, ...]) -> str:
    values = " UNION ALL ".join(
        [
            f"SELECT r.{identifier(column)}::text AS id FROM {each} r"
            for column in rule.columns
            for each in rows
        ]
    )
    return f"ARRAY(SELECT DISTINCT s.id FROM ({values}) s WHERE s.id IS NOT NULL LIMIT {MOST + 1})"


def _digest(*texts: str) -> str:
    return blake2b("\0".join(texts).encode(), digest_size=6).hexdigest()


_ESCAPE = r"""
BEGIN
    IF id ~ '^[A-Za-z0-9._~-]*$' THEN
        RETURN id;
    END IF;
    RETURN (
        SELECT string_agg(
            CASE WHEN chr(byte) ~ '[A-Za-z0-9._~-]' AND byte < 128 THEN chr(byte)
                 ELSE '%' || upper(lpad(to_hex(byte), 2, '0')) END,
            '' ORDER BY i)
        FROM (
            SELECT i, get_byte(convert_to(id, 'UTF8'), i) AS byte
            FROM generate_series(0, octet_length(convert_to(id, 'UTF8')) - 1) i
        ) bytes
    );
END
""".strip("\n")

_THINGS = """
BEGIN
    IF cardinality(ids) = 0 THEN
        RETURN '{{}}';
    ELSIF cardinality(ids) > {most} THEN
        RETURN ARRAY['{{' || name || ':*}}', '{{' || name || ':+}}'];
    END IF;
    RETURN ARRAY(SELECT '{{' || name || ':' || {escape}(id) || '}}' FROM unnest(ids) id)
        || ('{{' || name || ':+}}');
END
""".strip("\n")

_TABLE = """
DECLARE
    things text[] := '{{}}';
BEGIN
    IF TG_OP = 'TRUNCATE' OR {number} <> (
        SELECT count(*) FROM pg_attribute
        WHERE attrelid = TG_RELID AND attname = ANY ({columns}) AND NOT attisdropped
    ) THEN
        things := {every};
    {branches}
    END IF;
    IF cardinality(things) > 0 THEN
        PERFORM {tell}(things);
    END IF;
    RETURN NULL;
END
""".strip("\n")

_UNKNOWN = """
        IF coalesce(current_setting('cache_core.application', true), '') <> 'on' AND ({some}) THEN
            things := things || {things};
        END IF;
""".strip("\n")

_TELL = """
DECLARE
    told text := coalesce(nullif(current_setting({told}, true), ''), ' ');
    things jsonb;
    row_id bigint;
BEGIN
    IF length(told) > {longest} THEN
        changed := ARRAY(
            SELECT split_part(thing, ':', 1) || tail
            FROM unnest(changed) thing, unnest(ARRAY[':*}}', ':+}}']) tail
        );
    END IF;
    SELECT jsonb_agg(DISTINCT thing), told || string_agg(DISTINCT thing, ' ') || ' '
    INTO things, told FROM unnest(changed) thing
    WHERE strpos(told, ' ' || thing || ' ') = 0
        AND strpos(told, ' ' || split_part(thing, ':', 1) || ':*}} ') = 0;
    IF things IS NULL THEN
        RETURN;
    ELSIF to_regclass({relation}) IS NULL THEN
        RAISE WARNING 'The cache is not told of this write: there is no table %', {relation};
        RETURN;
    END IF;
    INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING id INTO row_id;
    PERFORM set_config({told}, told, true);
    PERFORM set_config(
        {rows}, concat_ws(',', nullif(current_setting({rows}, true), ''), row_id), true
    );
    IF coalesce(current_setting('cache_core.application', true), '') <> 'on'
        AND coalesce(current_setting('cache_core.notify', true), '') <> 'off'
    THEN
        PERFORM pg_notify({channel}, '');
    END IF;
END
""".strip("\n")

_HEED = """
DECLARE
    ids text := nullif(current_setting({rows}, true), '');
    told text := coalesce(nullif(current_setting({told}, true), ''), ' ');
    given jsonb := NEW.things::jsonb;
BEGIN
    SELECT told || coalesce(string_agg(thing, ' ') || ' ', '') INTO told
    FROM jsonb_array_elements_text(given) thing WHERE strpos(thing, ' ') = 0;
    PERFORM set_config({told}, told, true);
    IF ids IS NOT NULL THEN
        DELETE FROM {table} o
        WHERE o.id = ANY (string_to_array(ids, ',')::bigint[]) AND NOT EXISTS (
            SELECT FROM jsonb_array_elements_text(o.things::jsonb) thing
            WHERE NOT given ? thing AND NOT given ? (split_part(thing, ':', 1) || ':*}}')
        );
    END IF;
    RETURN NULL;
END
""".strip("\n")
