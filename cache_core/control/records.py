"""What was set by hand for a use case while the cache runs, and what became of it.

All moments are seconds since 1970. Records are read from places that others can write to: nothing in
them is believed before it was checked, and nothing of them is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from secrets import token_hex
from types import MappingProxyType
from typing import Any, NamedTuple

from cache_core.errors import ConfigurationError, Problem
from cache_core.fields import Problems, Refused, show, text
from cache_core.policy.policy import Policy, read_policy

Fields = Mapping[str, "tuple[Any, Any]"]
"""Name of a field -> its old and its new value, ready for JSON; None where it says nothing."""

LATEST = 253_402_300_799.0
"""The end of the year 9999, in seconds since 1970: what is later has no date that could be shown."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def fresh_revision() -> str:
    """A revision that never was and never comes back."""
    return token_hex(8)


@dataclass(frozen=True, slots=True)
class Step:
    """What an override wishes from a moment on, field by field over what it wished before.

    Args:
        at: From when on, in seconds since 1970.
        policy: The fields that change.
    """

    at: float
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """What was set by hand for one use case, or for all of them (``"*"``).

    Args:
        policy: What it wishes; silent fields keep their other source. Its note is *why*.
        by: Who set it.
        why: For people.
        at: When it was set, in seconds since 1970.
        expires_at: From when on it wishes nothing any more; None for never.
        steps: What it wishes later, in the order of time.
        revision: Another one after each change; empty for what is not kept yet.
    """

    policy: Policy = field(default_factory=Policy)
    by: str = ""
    why: str = ""
    at: float = 0.0
    expires_at: float | None = None
    steps: tuple[Step, ...] = ()
    revision: str = ""

    def policy_at(self, wall: float) -> Policy | None:
        """What it wishes at *wall*, in seconds since 1970; None once it has expired."""
        if self.has_expired(wall):
            return None
        policy = self.policy
        for step in self.steps:
            if step.at <= wall:
                policy = step.policy.over(policy)
        return policy.replace(note=self.why) if self.why else policy

    def has_expired(self, wall: float) -> bool:
        """Whether it wishes nothing any more at *wall*, in seconds since 1970."""
        return self.expires_at is not None and self.expires_at <= wall

    def next_turn(self, wall: float) -> float | None:
        """When, after *wall*, it wishes something else by itself; None for never."""
        if self.has_expired(wall):
            return None
        moments = [step.at for step in self.steps]
        if self.expires_at is not None:
            moments = [*[at for at in moments if at < self.expires_at], self.expires_at]
        return min([at for at in moments if at > wall], default=None)

    def to_mapping(self) -> dict[str, Any]:
        """Plain data, ready for JSON; ``from_mapping`` reads it back."""
        return {
            "policy": self.policy.to_mapping(),
            "by": self.by,
            "why": self.why,
            "at": self.at,
            "expires_at": self.expires_at,
            "steps": [{"at": step.at, "policy": step.policy.to_mapping()} for step in self.steps],
            "revision": self.revision,
        }

    @classmethod
    def from_mapping(cls, mapping: object, path: str = "override") -> Override:
        """An override out of plain data.

        Args:
            mapping: What ``to_mapping`` made, or somebody else.
            path: Where it stands; problems show it.

        Raises:
            ConfigurationError: Something is not allowed; lists every problem.
        """
        problems = Problems()
        names = ("policy", "by", "why", "at", "expires_at", "steps", "revision")
        given = problems.known(mapping, path, names)
        values: dict[str, Any] = {}
        for name, (at, value) in given.items():
            if name == "policy":
                values[name] = read_policy(value, at, problems)
            elif name == "steps":
                values[name] = _read_steps(value, at, problems)
            else:
                coerce = _moment if name in ("at", "expires_at") else text
                values[name] = problems.check(at, value, coerce)
        problems.raise_any()
        return cls(**values)

    def to_record(self) -> dict[str, Any]:
        """As ``to_mapping``, to be kept: beside the revision stands a digest of the rest.

        So it is noticed when somebody changes the record by hand and leaves the revision as it was.
        """
        return {**self.to_mapping(), "revision": f"{self.revision}.{_digest(self)}"}

    @classmethod
    def from_record(cls, record: object, path: str = "override") -> Override:
        """An override out of what was kept; one that was changed by hand has a revision of its own.

        Args:
            record: What ``to_record`` made, or somebody else.
            path: Where it stands; problems show it.

        Raises:
            ConfigurationError: Something is not allowed; lists every problem.
        """
        found = cls.from_mapping(record, path)
        revision, _, digest = found.revision.partition(".")
        now = _digest(found)
        return replace(found, revision=revision if digest == now else f"{revision}~{now}")

    def dump(self) -> str:
        """As JSON text, to be kept."""
        return json.dumps(self.to_record(), sort_keys=True, allow_nan=False)

    @classmethod
    def parse(cls, data: str | bytes, path: str = "override") -> Override:
        """An override out of JSON text that was kept.

        Raises:
            ConfigurationError: It is none.
        """
        return cls.from_record(parsed(data, path), path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of the history: what changed, who did it, when and why.

    Args:
        use_case: Its name, or ``"*"``.
        at: When, in seconds since 1970.
        fields: Field -> old and new value.
        by: Who.
        why: For people.
        cause: What kind of event it was: "code", "admin", "page", "command line", "expiry", "step",
            or any other word of who calls.
        revision: That of the override that came of it; empty where none did.
    """

    use_case: str
    at: float
    fields: Fields = field(default_factory=lambda: _NOTHING)
    by: str = ""
    why: str = ""
    cause: str = "code"
    revision: str = ""

    def to_mapping(self) -> dict[str, Any]:
        """Plain data, ready for JSON; ``from_mapping`` reads it back."""
        return {
            "use_case": self.use_case,
            "at": self.at,
            "fields": {name: list(pair) for name, pair in self.fields.items()},
            "by": self.by,
            "why": self.why,
            "cause": self.cause,
            "revision": self.revision,
        }

    @classmethod
    def from_mapping(cls, mapping: object, path: str = "change") -> Change:
        """A change out of plain data.

        Raises:
            ConfigurationError: Something is not allowed; lists every problem.
        """
        problems = Problems()
        names = ("use_case", "at", "fields", "by", "why", "cause", "revision")
        given = problems.known(mapping, path, names)
        coerce: Any = {"at": _moment, "fields": _pairs}
        values: dict[str, Any] = {
            name: problems.check(at, value, coerce.get(name, text))
            for name, (at, value) in given.items()
        }
        for name in ("use_case", "at"):
            if name not in values:
                problems.add(f"{path}[{name!r}]", "missing", "a value")
        problems.raise_any()
        return cls(**values)

    def dump(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_mapping(), sort_keys=True, default=str)

    @classmethod
    def parse(cls, data: str | bytes, path: str = "change") -> Change:
        """A change out of JSON text.

        Raises:
            ConfigurationError: It is none.
        """
        return cls.from_mapping(parsed(data, path), path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All overrides at one moment.

    Args:
        revision: Another one after any change.
        overrides: By use case; ``"*"`` for all of them.
        malformed: Use case -> what is wrong with its record, which is passed over.
    """

    revision: str = ""
    overrides: Mapping[str, Override] = field(default_factory=lambda: _NOTHING)
    malformed: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def read(cls, revision: str, records: Mapping[str, str | bytes]) -> Snapshot:
        """A snapshot out of one JSON text for each use case; passes over what is malformed."""
        overrides, malformed = {}, {}
        for name, data in sorted(records.items()):
            try:
                _check_name(name)
                overrides[name] = Override.parse(data, f"override({name!r})")
            except ConfigurationError as error:
                malformed[name] = str(error)
        return cls(
            revision=revision,
            overrides=MappingProxyType(overrides),
            malformed=MappingProxyType(malformed),
        )

    def revision_of(self, use_case: str) -> str:
        """The revision of the override of *use_case*; empty where there is none that can be read."""
        override = self.overrides.get(use_case)
        return override.revision if override is not None else ""

    def policies_at(self, wall: float) -> dict[str, Policy]:
        """What each override wishes at *wall*, in seconds since 1970, as far as one wishes."""
        found = {name: each.policy_at(wall) for name, each in self.overrides.items()}
        return {name: policy for name, policy in found.items() if policy is not None}

    def next_turn(self, wall: float) -> float | None:
        """When, after *wall*, an override wishes something else by itself; None for never."""
        turns = [each.next_turn(wall) for each in self.overrides.values()]
        return min([turn for turn in turns if turn is not None], default=None)


class Edit(NamedTuple):
    """One override to be written.

    Args:
        use_case: Its name, or ``"*"``.
        expected: The revision that it must still have; empty where there must be none.
        override: The new one, with a fresh revision; None to remove it.
        changes: What the history is to tell of it, in the order of time.
    """

    use_case: str
    expected: str
    override: Override | None
    changes: tuple[Change, ...] = ()


def parsed(data: str | bytes, path: str) -> object:
    """What a JSON text holds.

    Raises:
        ConfigurationError: It is no JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        problems = Problems()
        problems.add(path, f"no JSON ({type(error).__name__})", "a JSON object")
        raise ConfigurationError(problems.found) from error


def renewed(override: Override) -> Override:
    """*override* with a fresh revision."""
    return replace(override, revision=fresh_revision())


def _digest(override: Override) -> str:
    """Of all but the revision."""
    rest = json.dumps({**override.to_mapping(), "revision": ""}, sort_keys=True)
    return blake2b(rest.encode(), digest_size=6).hexdigest()


def _check_name(name: str) -> None:
    if not name:
        raise ConfigurationError([Problem("override('')", "without a name", "that of a use case")])


def _read_steps(value: object, path: str, problems: Problems) -> tuple[Step, ...]:
    if not isinstance(value, (list, tuple)):
        problems.add(path, show(value), "a list of steps")
        return ()
    steps = []
    for number, step in enumerate(value):
        given = problems.known(step, f"{path}[{number}]", ("at", "policy"))
        at = problems.check(*given["at"], _moment) if "at" in given else None
        if at is None:
            problems.add(f"{path}[{number}]", "without a moment", "an entry 'at'")
        elif "policy" in given:
            where, wanted = given["policy"]
            steps.append(Step(at, read_policy(wanted, where, problems)))
    return tuple(sorted(steps, key=lambda step: step.at))


def _moment(value: object) -> float:
    # The bounds come first: a whole number may be too large for a float.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LATEST:
        return float(value)
    raise Refused("seconds since 1970, up to the year 9999")


def _pairs(value: object) -> Fields:
    pairs: Any = value.items() if isinstance(value, Mapping) else [("", None)]
    if all(isinstance(pair, (list, tuple)) and len(pair) == 2 for _, pair in pairs):
        return {str(name): (pair[0], pair[1]) for name, pair in pairs}
    raise Refused("a mapping of fields to pairs of an old and a new value")
