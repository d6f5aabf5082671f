"""What a change by hand makes of an override, and what the history tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from math import inf
from typing import Any, Final, NamedTuple

from cache_core.control.records import LATEST, Change, Fields, Override, Step, fresh_revision
from cache_core.fields import Coerce, Problems, Refused, duration, text
from cache_core.policy.policy import Policy
from cache_core.policy.reading import FIELDS, NAMES, fields_of, values_of


class _Kept:
    def __repr__(self) -> str:
        return "KEPT"


KEPT: Final[Any] = _Kept()
"""Says that something stays what it is, where None says that there is none."""

WISHES = tuple(name for name in FIELDS if name != "note")
"""The fields that an override may set; its note is why it was set."""

_SECONDS = duration()


class Said(NamedTuple):
    """Who changes something, why, and at what kind of place."""

    by: str
    why: str
    cause: str


def read_said(by: object, why: object, cause: object, problems: Problems) -> Said:
    """The same, checked; notes what is not text."""
    given = {"by": by, "why": why, "cause": cause}
    return Said(*[problems.check(name, value, text) or "" for name, value in given.items()])


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be changed in one override, checked.

    Args:
        values: The fields that are set.
        touched: All fields that are spoken of; those without a value are given back.
        expires_at: In seconds since 1970; None for never, ``KEPT`` for as before.
        steps: Those that take the place of the ones before; ``KEPT`` for as before.
    """

    values: Mapping[str, Any]
    touched: frozenset[str] = frozenset()
    expires_at: Any = KEPT
    steps: Any = KEPT


def read_fields(
    fields: Mapping[str, object], path: str, problems: Problems
) -> tuple[dict[str, Any], frozenset[str]]:
    """The values among *fields* of a policy, and all fields that they speak of.

    Args:
        fields: Arguments of ``Policy``; None gives a field back to the other tiers.
        path: Where they stand; problems show it.
        problems: Is told what is wrong.
    """
    names = [name for name in NAMES if name != "note"]
    given = problems.known(fields, path, names, lambda name: f"{path}.{name}")
    lower = {str(name).lower(): value for name, value in fields.items()}
    touched = frozenset(name for name in fields_of(lower) if name in WISHES)
    return values_of(given, problems), touched


def read_steps(
    steps: Sequence[tuple[object, Mapping[str, object]]], wall: float, path: str, problems: Problems
) -> tuple[Step, ...]:
    """Steps in the order of time; notes what is wrong with them."""
    found = []
    for number, (when, fields) in enumerate(steps):
        at = f"{path}.steps[{number}]"
        moment = problems.check(f"{at}.at", when, moment_from(wall))
        values, _ = read_fields(fields, at, problems)
        if not values and not problems.found:
            problems.add(at, "without a field", "a field of a policy, as ramp=50")
        if moment is not None:
            found.append(Step(moment, Policy(**values)))
    return tuple(sorted(found, key=lambda step: step.at))


def moment_from(wall: float) -> Coerce[float]:
    """Reads moments after *wall*, in seconds since 1970.

    A number, a ``timedelta`` or text like "2h" is counted from then; a ``datetime`` with a time zone
    or text like "2026-12-24T18:00Z" stands for itself.
    """
    expected = "a moment to come: '2h', a timedelta, or a datetime with its time zone"

    def coerce(value: object) -> float:
        moment = _absolute(value)
        if moment is None:
            try:
                moment = wall + _SECONDS(value)
            except Refused:
                moment = -inf
        if not wall < moment <= LATEST:
            raise Refused(expected)
        return moment

    return coerce


def edited(
    before: Override | None, wish: Wish, *, by: str, why: str, wall: float
) -> Override | None:
    """The override after *wish*; None where nothing is left of it.

    What is set by hand is not set otherwise by a step that was planned before: these fields are
    taken out of the steps to come.

    Args:
        before: The override so far.
        wish: What changes.
        by: Who changes it.
        why: For people.
        wall: Now, in seconds since 1970.
    """
    before = before if before is not None and not before.has_expired(wall) else None
    kept = wishes_at(before, wall).to_mapping()
    values = {name: value for name, value in kept.items() if name not in wish.touched}
    steps, expires_at = wish.steps, wish.expires_at
    if steps is KEPT:
        steps = _steps_left(before, wish.touched, wall)
    if expires_at is KEPT:
        expires_at = before.expires_at if before is not None else None
    after = Override(
        policy=Policy(**{**values, **wish.values}),
        by=by,
        why=why,
        at=wall,
        expires_at=expires_at,
        steps=steps,
        revision=fresh_revision(),
    )
    return after if after.policy.to_mapping() or after.steps else None


def wishes_at(override: Override | None, wall: float) -> Policy:
    """What *override* wishes at *wall*, in seconds since 1970, without its note."""
    policy = override.policy_at(wall) if override is not None else None
    return Policy() if policy is None else policy.replace(note=None)


def differences(before: Override | None, after: Override | None, wall: float) -> Fields:
    """What is another one in *after* than in *before*, both at *wall* in seconds since 1970."""
    old, new = _shown(before, wall), _shown(after, wall)
    names = [*WISHES, "expires_at", "steps"]
    return {n: (old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)}


def turns(use_case: str, override: Override | None, wall: float) -> list[Change]:
    """The steps and the end of *override* that have come by *wall*, in the order of time.

    Nobody writes when they come; the history tells of them all the same.
    """
    if override is None:
        return []
    end = override.expires_at if override.has_expired(wall) else None
    moments = [(step.at, "step") for step in override.steps if override.at < step.at <= wall]
    moments = [(at, cause) for at, cause in moments if end is None or at < end]
    if end is not None:
        moments.append((end, "expiry"))
    plain = replace(override, expires_at=None, steps=())
    found, before = [], plain
    for at, cause in moments:
        now = wishes_at(override, at)
        after = replace(plain, policy=now)
        change = Change(
            use_case=use_case,
            at=at,
            fields=differences(before, after, at),
            by=override.by,
            why=override.why,
            cause=cause,
            revision=override.revision,
        )
        found.append(change)
        before = after
    return found


def _steps_left(before: Override | None, touched: frozenset[str], wall: float) -> tuple[Step, ...]:
    left = []
    for step in before.steps if before is not None else ():
        wishes = {n: v for n, v in step.policy.to_mapping().items() if n not in touched}
        if step.at > wall and wishes:
            left.append(Step(step.at, Policy(**wishes)))
    return tuple(left)


def _shown(override: Override | None, wall: float) -> dict[str, Any]:
    if override is None or override.has_expired(wall):
        return {}
    shown = dict(wishes_at(override, wall).to_mapping())
    if override.expires_at is not None:
        shown["expires_at"] = override.expires_at
    steps = [{"at": s.at, **s.policy.to_mapping()} for s in override.steps if s.at > wall]
    return {**shown, "steps": steps} if steps else shown


def _absolute(value: object) -> float | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
        except ValueError:
            return None
        # Text without a time zone is taken as UTC: a command line has no other.
        value = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo is not None else -inf
    return None
