"""Control: what people set by hand while it runs, for every process: ``cache.control``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cache_core.control.editing import (
    KEPT,
    Said,
    Wish,
    differences,
    edited,
    moment_from,
    read_fields,
    read_said,
    read_steps,
    turns,
    wishes_at,
)
from cache_core.control.following import THING, FollowingReport
from cache_core.control.listing import Controlled, Listing
from cache_core.control.records import Change, Edit, Override, Snapshot
from cache_core.errors import OverrideConflict, did_you_mean
from cache_core.events import logger
from cache_core.fields import Problems
from cache_core.policy.overrides import EVERYTHING
from cache_core.policy.policy import Policy
from cache_core.policy.tiers import NOTHING
from cache_core.protocol.drivers import run
from cache_core.protocol.operations import Ask
from cache_core.protocol.write import invalidate

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.cached import CachedFunction
    from cache_core.protocol.operations import Steps
    from cache_core.protocol.runtime import Provided, Runtime

ATTEMPTS = 10
"""How often a change is tried that expects nothing, while others change the same override."""

_OF_RAMPING_DOWN = frozenset({"ramp_local", "ramp_remote", "note"})
_NO_REVISIONS: Mapping[str, str] = {}


class Control:
    """What people set by hand: kept for all processes, with who and why, and followed by each.

    Each method that changes something takes *by* (who), *why* (for people) and *cause* (what kind
    of place it was done at: "code", "admin", "page", "command line" or another word). They wait for
    I/O. What they raise:

    * ``ConfigurationError``: a name or a value is not allowed; lists every problem.
    * ``OverrideConflict``: somebody else has changed it meanwhile; nothing was written.
    * ``OverridesUnavailable``: the store does not answer; nothing was written.

    Args:
        cache: The cache.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    # -- changing --------------------------------------------------------------------------------

    def change(
        self,
        use_case: str,
        *,
        by: str = "",
        why: str = "",
        cause: str = "code",
        expires: object = KEPT,
        expected: str | None = None,
        **fields: Any,
    ) -> Override | None:
        """Sets fields of the override of a use case; those that are not named stay.

        Args:
            use_case: A declared use case, or ``"*"`` for all.
            by: Who does it.
            why: For people.
            cause: What kind of place it was done at.
            expires: When the override ends: seconds from now, a ``timedelta``, text like "2h", or a
                ``datetime`` with its time zone; None for never. By default it stays what it is.
            expected: The revision that the override must still have (empty: there must be none);
                None changes whatever there is.
            fields: Arguments of ``Policy`` other than the note, such as ``ramp_remote=50``; None
                gives a field back to the other tiers.

        Returns:
            The override that came of it; None where nothing is left of it.
        """
        revisions = _NO_REVISIONS if expected is None else {use_case: expected}
        found = self.change_many(
            {use_case: fields},
            by=by,
            why=why,
            cause=cause,
            expires=expires,
            expected=revisions,
        )
        return found[use_case]

    def change_many(
        self,
        changes: Mapping[str, Mapping[str, Any]],
        *,
        by: str = "",
        why: str = "",
        cause: str = "code",
        expires: object = KEPT,
        expected: Mapping[str, str] = _NO_REVISIONS,
    ) -> dict[str, Override | None]:
        """As ``change``, for several use cases: all of them or none.

        Args:
            changes: Use case -> fields.
            by: As for ``change``.
            why: As for ``change``.
            cause: As for ``change``.
            expires: As for ``change``, for each of them.
            expected: Use case -> the revision that its override must still have.
        """
        problems, wall = Problems(), self._cache.clock.wall()
        said = read_said(by, why, cause, problems)
        ends = expires
        if expires is not KEPT and expires is not None:
            ends = problems.check("expires", expires, moment_from(wall))
        wishes = {}
        for name, fields in changes.items():
            self._check_name(name, problems)
            wishes[name] = Wish(*read_fields(fields, name, problems), expires_at=ends)
        problems.raise_any()
        return self._write(wishes, said, expected)

    def ramp(
        self,
        use_case: str,
        ramp: float | None = None,
        *,
        local: float | None = None,
        remote: float | None = None,
        by: str = "",
        why: str = "",
        cause: str = "code",
        expires: object = KEPT,
        expected: str | None = None,
    ) -> Override | None:
        """Sets the share of units for which a layer takes part.

        Args:
            use_case: As for ``change``.
            ramp: Percentage (0 to 100) for both layers.
            local: That of the local layer.
            remote: That of the remote layer.
            by: As for ``change``.
            why: As for ``change``.
            cause: As for ``change``.
            expires: As for ``change``.
            expected: As for ``change``.
        """
        layers = {"local": ramp if local is None else local}
        layers["remote"] = ramp if remote is None else remote
        fields = {f"ramp_{layer}": value for layer, value in layers.items() if value is not None}
        return self.change(
            use_case,
            by=by,
            why=why,
            cause=cause,
            expires=expires,
            expected=expected,
            **fields,
        )

    def switch_off(
        self,
        *use_cases: str,
        by: str = "",
        why: str = "",
        cause: str = "code",
        expires: object = KEPT,
    ) -> None:
        """Throws the kill switch of use cases; what they have set besides stays."""
        self.change_many(
            {name: {"enabled": False} for name in use_cases},
            by=by,
            why=why,
            cause=cause,
            expires=expires,
        )

    def switch_on(self, *use_cases: str, by: str = "", why: str = "", cause: str = "code") -> None:
        """Takes the kill switch back: whether they are on is what the other tiers say.

        To have one on that is off in the settings, ``change(name, enabled=True)``.
        """
        fields: dict[str, Any] = {"enabled": None}
        self.change_many(dict.fromkeys(use_cases, fields), by=by, why=why, cause=cause)

    def switch_off_everything(
        self, *, by: str = "", why: str = "", cause: str = "code", expires: object = KEPT
    ) -> None:
        """Throws the kill switch of all use cases; it beats every exception."""
        self.switch_off(EVERYTHING, by=by, why=why, cause=cause, expires=expires)

    def switch_on_everything(self, *, by: str = "", why: str = "", cause: str = "code") -> None:
        """Takes back what ``switch_off_everything`` did; kill switches of single ones stay."""
        self.switch_on(EVERYTHING, by=by, why=why, cause=cause)

    def reset(
        self,
        *use_cases: str,
        by: str = "",
        why: str = "",
        cause: str = "code",
        expected: Mapping[str, str] = _NO_REVISIONS,
    ) -> None:
        """Removes overrides, also those of use cases that no code knows any more."""
        problems = Problems()
        said = read_said(by, why, cause, problems)
        problems.raise_any()
        self._write(dict.fromkeys(use_cases), said, expected)

    def schedule(
        self,
        use_case: str,
        steps: Sequence[tuple[object, Mapping[str, Any]]],
        *,
        by: str = "",
        why: str = "",
        cause: str = "code",
        expected: str | None = None,
    ) -> Override | None:
        """Plans changes that each process carries out by its own clock; replaces earlier plans.

        A field that is set by hand later is taken out of the steps to come.

        Args:
            use_case: As for ``change``.
            steps: Pairs of when (as *expires* of ``change``) and the fields to be set then.
            by: As for ``change``.
            why: As for ``change``.
            cause: As for ``change``.
            expected: As for ``change``.
        """
        problems = Problems()
        said = read_said(by, why, cause, problems)
        self._check_name(use_case, problems)
        planned = read_steps(steps, self._cache.clock.wall(), use_case, problems)
        problems.raise_any()
        revisions = _NO_REVISIONS if expected is None else {use_case: expected}
        return self._write({use_case: Wish({}, steps=planned)}, said, revisions)[use_case]

    def keep_down(self, use_case: str, why: str) -> None:
        """Has every process follow this one, where the objective of a use case has ramped it down.

        Where the store does not take it, it stays with this process until that ends.

        Args:
            use_case: Its name.
            why: What the history tells.
        """
        self._cache.runtime.following.beside(partial(self._keep_down, use_case, why))

    def _keep_down(self, use_case: str, why: str) -> None:
        try:
            self.change(use_case, by="cache_core", why=why, cause="objective", ramp=0)
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and it holds here
            logger.error("That %r is ramped down holds in this process only: %s", use_case, error)
            return
        overrides = self._cache.runtime.overrides
        own = overrides.here.get(use_case, Policy()).to_mapping()
        left = {name: own[name] for name in own if name not in _OF_RAMPING_DOWN}
        overrides.set(use_case, Policy(**left) if left else None)

    # -- looking ---------------------------------------------------------------------------------

    def overrides(self) -> Mapping[str, Override]:
        """What was set, by use case, as this process knows it; costs nothing."""
        return self._cache.runtime.following.snapshot.overrides

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """What was changed, the newest first; steps and ends that have come are among it.

        Args:
            use_case: Of this one only; None for all.
            limit: The most lines.
            skip: How many of the newest to leave out.

        Raises:
            OverridesUnavailable: The store cannot be read.
        """
        store, wall = self._cache.runtime.following.store, self._cache.clock.wall()
        kept = store.history(use_case, limit=limit + skip)
        overrides = store.load().overrides.items()
        come = [change for name, each in overrides for change in turns(name, each, wall)]
        wanted = [change for change in come if use_case in (None, change.use_case)]
        # Sorting is stable: what was written together stays in its order.
        found = sorted([*wanted[::-1], *kept], key=lambda change: change.at, reverse=True)
        return found[skip : skip + limit]

    def listing(self) -> Listing:
        """Every use case with its override as it is kept now, and what holds with it.

        Never raises because of the store: what this process knew last is shown then.
        """
        runtime, problem = self._cache.runtime, ""
        snapshot = runtime.following.snapshot
        try:
            snapshot = runtime.following.store.load()
        except Exception as error:  # noqa: BLE001 - a page must not fail on what it is to show
            problem = str(error) or type(error).__name__
        functions = self._cache._functions  # noqa: SLF001 - of one package
        orphans = {*snapshot.overrides, *snapshot.malformed} - {EVERYTHING, *functions}
        # Once for all rows: with many overrides the policies of each cost more than the rest.
        policies = runtime.overrides.with_followed(snapshot.policies_at(self._cache.clock.wall()))
        rows = [
            self._row(runtime, name, own, snapshot, policies) for name, own in functions.items()
        ]
        rows += [self._row(runtime, name, None, snapshot, policies) for name in sorted(orphans)]
        everything = snapshot.overrides.get(EVERYTHING)
        stopped = wishes_at(everything, self._cache.clock.wall()).enabled is False
        return Listing(tuple(rows), everything, runtime.following.report(), stopped, problem)

    def refresh(self) -> bool:
        """Loads what is set now, in this thread; whether that was possible."""
        return self._cache.runtime.following.reload()

    @property
    def state(self) -> FollowingReport:
        """How current this process is, and where overrides are kept."""
        return self._cache.runtime.following.report()

    # -- behind them -----------------------------------------------------------------------------

    def _row(
        self,
        runtime: Runtime,
        name: str,
        own: CachedFunction | None,
        snapshot: Snapshot,
        policies: Mapping[str, Policy],
    ) -> Controlled:
        override, wall = snapshot.overrides.get(name), self._cache.clock.wall()
        expired = override is not None and override.has_expired(wall)
        malformed = snapshot.malformed.get(name, "")
        if own is None:
            return Controlled(name, None, override, None, None, True, expired, malformed)
        provided = run(runtime, _asked(name)) if runtime.polls else None
        return Controlled(
            name,
            own.use_case.key_type,
            override,
            runtime.effective(own, provided, policies),
            runtime.effective(own, provided, NOTHING),
            False,
            expired,
            malformed,
        )

    def _check_name(self, use_case: str, problems: Problems) -> None:
        known = self._cache._functions  # noqa: SLF001 - of one package
        if use_case != EVERYTHING and use_case not in known:
            hint = did_you_mean(use_case, known)
            problems.add(f"use case {use_case!r}", "not declared", "a declared one, or '*'", hint)

    def _write(
        self, wishes: Mapping[str, Wish | None], said: Said, expected: Mapping[str, str]
    ) -> dict[str, Override | None]:
        """Writes what follows from *wishes*, of which None removes an override."""
        runtime = self._cache.runtime
        store = runtime.following.store
        for left in reversed(range(ATTEMPTS)):
            snapshot = store.load()
            _check_expected(snapshot, expected)
            edits = list(self._edits(wishes, said, snapshot))
            try:
                if edits:
                    store.write(edits)
                    store.when_committed(partial(_announce, runtime))
            except OverrideConflict as conflict:
                if conflict.use_case in expected or not left:
                    raise
            else:
                after = {**snapshot.overrides, **{e.use_case: e.override for e in edits}}
                return {name: after.get(name) for name in wishes}
        raise AssertionError("the last attempt has returned or raised")

    def _edits(
        self, wishes: Mapping[str, Wish | None], said: Said, snapshot: Snapshot
    ) -> Iterable[Edit]:
        wall = self._cache.clock.wall()
        for name, wish in wishes.items():
            before, after = snapshot.overrides.get(name), None
            if wish is not None:
                after = edited(before, wish, by=said.by, why=said.why, wall=wall)
            fields = differences(before, after, wall)
            if (
                not fields
                and name not in snapshot.malformed
                and (before is None) == (after is None)
            ):
                continue
            revision = after.revision if after is not None else ""
            change = Change(
                use_case=name,
                at=wall,
                fields=fields,
                by=said.by,
                why=said.why,
                cause=said.cause,
                revision=revision,
            )
            yield Edit(
                name, snapshot.revision_of(name), after, (*turns(name, before, wall), change)
            )


def _announce(runtime: Runtime) -> None:
    """Has every process notice: this one at once, the others by the version of a thing."""
    if runtime.following.store.shared:
        run(runtime, invalidate(runtime, None, [THING], runtime.clock.monotonic()))
    runtime.following.reload()


def _check_expected(snapshot: Snapshot, expected: Mapping[str, str]) -> None:
    for name, revision in expected.items():
        if snapshot.revision_of(name) != revision:
            raise OverrideConflict(name, snapshot.overrides.get(name))


def _asked(use_case: str) -> Steps[Provided]:
    provided: Provided = yield Ask(use_case)
    return provided
