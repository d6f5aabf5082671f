"""Overrides in the project's own database: the store behind ``cache.control`` in Django."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime
from datetime import timezone as zones
from decimal import Decimal
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, IntegrityError, connections, router, transaction
from django.utils import timezone

from cache_core.control.memory import check, page
from cache_core.control.records import Change, Edit, Override, Snapshot
from cache_core.control.store import MOST_CHANGES
from cache_core.errors import ConfigurationError, OverrideConflict, OverridesUnavailable

if TYPE_CHECKING:
    from django_ext.models import UseCaseOverride

COLUMNS = ("enabled", "ramp_local", "ramp_remote", "ttl_local", "ttl_remote")
"""The fields of a policy that have a column of their own; the rest is in ``more``."""


class ModelOverrides:
    """An ``OverrideStore`` in the tables of ``UseCaseOverride`` and its history.

    What is written in a transaction counts from its COMMIT on.

    Attributes:
        shared: True.
    """

    shared = True

    def __init__(self) -> None:
        self._ready: set[str] = set()

    def revision(self) -> str:
        """As ``OverrideStore``; the table is small, and rows may be written by anybody."""
        return self.load().revision

    def load(self) -> Snapshot:
        """As ``OverrideStore``; nothing, before the database has been migrated."""
        with self._connected(write=False) as using:
            if not self._is_ready(using):
                return Snapshot()
            rows = list(_rows().using(using).order_by("use_case"))
        return _snapshot(rows)

    def write(self, edits: Sequence[Edit]) -> None:
        """As ``OverrideStore``; in the running transaction, where there is one."""
        with self._connected(write=True) as using:
            if not self._is_ready(using):
                raise OverridesUnavailable(
                    f"The database {using!r} has no table for overrides; run `manage.py migrate`."
                )
            # Before the transaction: SQLite refuses to write in one that has read what others wrote.
            known = {row.use_case: row for row in _rows().using(using)}
            check(_snapshot(list(known.values())), edits)
            with transaction.atomic(using=using):
                for edit in edits:
                    _replace(using, edit, known.get(edit.use_case))
                _note(using, [change for edit in edits for change in edit.changes])

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """As ``OverrideStore``."""
        with self._connected(write=False) as using:
            if not self._is_ready(using):
                return []
            rows = _lines().using(using).order_by("-pk")
            wanted = rows if use_case is None else rows.filter(use_case=use_case)
            return page([_change(row) for row in wanted[: limit + skip]], use_case, limit, skip)

    def when_committed(self, done: Callable[[], object]) -> None:
        """As ``OverrideStore``."""
        transaction.on_commit(done, using=router.db_for_write(_model()))

    def describe(self) -> str:
        """As ``OverrideStore``."""
        return f"the table {_model()._meta.db_table}"

    def close(self) -> None:
        """Connections are Django's."""

    @contextmanager
    def _connected(self, *, write: bool) -> Iterator[str]:
        """The alias of the database, ready for statements that may fail and harm nobody.

        In a transaction of the user's they are made after a savepoint: on PostgreSQL an error would
        end that transaction.
        """
        model = _model()
        using = router.db_for_write(model) if write else router.db_for_read(model)
        try:
            is_open = connections[using].in_atomic_block
            with transaction.atomic(using=using) if is_open else nullcontext():
                yield using
        except DatabaseError as error:
            raise OverridesUnavailable(
                f"The overrides in the database {using!r} cannot be reached: {error}"
            ) from error

    def _is_ready(self, using: str) -> bool:
        """Whether the tables are there; a look at the catalogue until they are."""
        if using not in self._ready:
            names = connections[using].introspection.table_names()
            if _model()._meta.db_table not in names:
                return False
            self._ready.add(using)
        return True


def override_of(row: UseCaseOverride) -> Override:
    """The override that a row holds; what changed it without its ``version`` is noticed.

    Raises:
        ConfigurationError: Something in it is not allowed; lists every problem.
    """
    more = row.more if isinstance(row.more, dict) else {"more": row.more}
    wishes = {name: _plain(getattr(row, name)) for name in COLUMNS}
    mapping = {
        "policy": {**more, **{name: value for name, value in wishes.items() if value is not None}},
        "by": row.updated_by,
        "why": row.note,
        "at": _seconds(row.updated_at),
        "expires_at": None if row.expires_at is None else _seconds(row.expires_at),
        "steps": row.steps,
        "revision": row.version,
    }
    return Override.from_record(mapping, f"override({row.use_case!r})")


def columns_of(override: Override) -> dict[str, Any]:
    """The columns of a row that holds *override*, sealed as it will be read: databases round."""
    columns = _columns(override)
    read = replace(override_of(_model()(**columns)), revision=override.revision)
    return {**columns, "version": read.to_record()["revision"]}


def _columns(override: Override) -> dict[str, Any]:
    wishes = override.policy.to_mapping()
    own = {name: wishes.pop(name, None) for name in COLUMNS}
    for name in ("ramp_local", "ramp_remote"):
        own[name] = None if own[name] is None else Decimal(str(round(own[name], 2)))
    ends = override.expires_at
    plain = override.to_mapping()
    return {
        **own,
        "more": wishes,
        "note": override.why,
        "expires_at": None if ends is None else _moment(ends),
        "steps": plain["steps"],
        "updated_at": _moment(override.at),
        "updated_by": override.by[:200],
    }


def _snapshot(rows: Sequence[Any]) -> Snapshot:
    digest = blake2b(digest_size=16)
    overrides, malformed = {}, {}
    for row in rows:
        values = [getattr(row, field.attname) for field in row._meta.concrete_fields]
        digest.update(repr(values).encode("utf-8", "surrogatepass"))
        try:
            overrides[row.use_case] = override_of(row)
        except ConfigurationError as error:
            malformed[row.use_case] = str(error)
    return Snapshot(revision=digest.hexdigest(), overrides=overrides, malformed=malformed)


def _replace(using: str, edit: Edit, row: UseCaseOverride | None) -> None:
    """Writes one override where it still is the *row* that was read; the database decides."""
    same = _rows().using(using).filter(use_case=edit.use_case, version=row.version if row else None)
    if row is None and edit.override is None:
        return
    if row is None:
        _insert(using, edit)
    elif edit.override is None:
        _check_done(same.delete()[0], using, edit)
    else:
        _check_done(same.update(**columns_of(edit.override)), using, edit)


def _insert(using: str, edit: Edit) -> None:
    assert edit.override is not None  # as the caller has seen
    row = _model()(use_case=edit.use_case, **columns_of(edit.override))
    try:
        with transaction.atomic(using=using):
            # Not save(): it would give the row another version.
            row.save_base(using=using, force_insert=True)
    except IntegrityError as error:
        raise OverrideConflict(edit.use_case, _now(using, edit.use_case)) from error


def _check_done(number: int, using: str, edit: Edit) -> None:
    if not number:
        raise OverrideConflict(edit.use_case, _now(using, edit.use_case))


def _now(using: str, use_case: str) -> Override | None:
    try:
        return override_of(_rows().using(using).get(use_case=use_case))
    except (ObjectDoesNotExist, ConfigurationError):
        return None


def _note(using: str, changes: Sequence[Change]) -> None:
    model = _history_model()
    rows = [
        model(
            use_case=change.use_case,
            at=_moment(change.at),
            by=change.by[:200],
            why=change.why,
            cause=change.cause[:50],
            fields={name: list(pair) for name, pair in change.fields.items()},
            version=change.revision,
        )
        for change in changes
    ]
    _lines().using(using).bulk_create(rows)
    newest = _lines().using(using).order_by("-pk").values_list("pk", flat=True).first() or 0
    _lines().using(using).filter(pk__lte=newest - 10 * MOST_CHANGES).delete()


def _change(row: Any) -> Change:
    pairs = row.fields.items() if isinstance(row.fields, dict) else ()
    return Change(
        use_case=row.use_case,
        at=_seconds(row.at),
        fields={name: (pair[0], pair[1]) for name, pair in pairs},
        by=row.by,
        why=row.why,
        cause=row.cause,
        revision=row.version,
    )


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _seconds(moment: datetime) -> float:
    aware = moment if timezone.is_aware(moment) else timezone.make_aware(moment)
    return aware.timestamp()


def _moment(at: float) -> datetime:
    moment = datetime.fromtimestamp(at, tz=zones.utc)
    return moment if settings.USE_TZ else timezone.make_naive(moment)


def _rows() -> Any:
    return _model()._base_manager


def _lines() -> Any:
    return _history_model()._base_manager


def _model() -> Any:
    """Imported late: models are there only when all apps are."""
    from django_ext.models import UseCaseOverride as Model

    return Model


def _history_model() -> Any:
    from django_ext.models import UseCaseOverrideChange as Model

    return Model
