"""The form of one override: what it shows, and what is meant by what came back.

All values are text, as HTML has them. An empty field wishes nothing: the value of the code or the
settings holds. Only what somebody has changed is written, since a field that is set by hand is taken
out of the steps that are planned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cache_core.control.editing import KEPT, wishes_at

if TYPE_CHECKING:
    from cache_core.cache import Cache
    from cache_core.control.records import Override
    from cache_core.errors import ConfigurationError

SWITCH = "enabled"
NUMBERS = ("ramp_local", "ramp_remote", "ttl_local", "ttl_remote")
FIELDS = (SWITCH, *NUMBERS)
"""The fields of a policy that a form has."""

EXPIRES, WHY, REVISION = "expires", "why", "revision"

VALUES = (*FIELDS, EXPIRES)
"""The fields of a form that hold what is set."""

Texts = Mapping[str, str]


def shown(override: Override | None, wall: float) -> dict[str, str]:
    """What the form shows of *override* at *wall*, in seconds since 1970."""
    wishes = wishes_at(override, wall).to_mapping()
    texts = {name: _text(wishes.get(name)) for name in FIELDS}
    ends = None if override is None or override.has_expired(wall) else override.expires_at
    texts[EXPIRES] = "" if ends is None else _iso(ends)
    return {**texts, WHY: "", REVISION: "" if override is None else override.revision}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody has filled in.

    Args:
        fields: Field of the policy -> its text; None where it is to be given back. Only those that
            were changed.
        expires: When the override ends, as text; None for never, ``KEPT`` as before.
        why: For people.
        revision: That of the override which the form showed.
    """

    fields: Mapping[str, str | bool | None]
    expires: Any
    why: str
    revision: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing was changed."""
        return not self.fields and self.expires is KEPT


def wanted(data: Texts, before: Texts) -> Wanted:
    """What is meant by *data*.

    Args:
        data: What came back; fields that are not in it stay as they are.
        before: What the form would show now (see ``shown``).
    """
    texts = {name: data.get(name, before[name]).strip() for name in before}
    fields = {name: _value(name, texts[name]) for name in FIELDS if texts[name] != before[name]}
    expires = texts[EXPIRES]
    return Wanted(
        fields=fields,
        expires=KEPT if expires == before[EXPIRES] else expires or None,
        why=texts[WHY],
        revision=texts[REVISION],
    )


def merged(mine: Texts, seen: Texts, theirs: Texts) -> dict[str, str]:
    """The form again, after somebody else was faster: what was filled in, over what holds now.

    A field that was left alone is theirs. Who saves this again does it knowing what they have done.

    Args:
        mine: What came back.
        seen: What the form showed at first; a field that is not in it was not left alone.
        theirs: What the form would show now.
    """
    left = {name: theirs[name] for name in VALUES if mine[name].strip() == seen.get(name)}
    return {**mine, **left, REVISION: theirs[REVISION]}


def save(cache: Cache, use_case: str, wish: Wanted, *, by: str, cause: str) -> None:
    """Writes what was wanted for *use_case*; raises as ``Control.change``.

    Args:
        cache: The cache.
        use_case: Its name, or ``"*"``.
        wish: What was filled in.
        by: Who it was.
        cause: What kind of page it was.
    """
    cache.control.change(
        use_case,
        by=by,
        why=wish.why,
        cause=cause,
        expires=wish.expires,
        expected=wish.revision,
        **wish.fields,
    )


def errors(error: ConfigurationError) -> dict[str, list[str]]:
    """Field -> what is wrong with it; an empty name stands for the form as a whole."""
    found: dict[str, list[str]] = {}
    for problem in error.problems:
        name = problem.path.rpartition(".")[2]
        field = name if name in (*VALUES, WHY) else ""
        said = f"This is {problem.found}; expected {problem.expected}. {problem.hint}".rstrip()
        found.setdefault(field, []).append(said)
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value).removesuffix(".0")


def _value(name: str, text: str) -> str | bool | None:
    if not text:
        return None
    return {"on": True, "off": False}.get(text, text) if name == SWITCH else text


def _iso(wall: float) -> str:
    return datetime.fromtimestamp(wall, timezone.utc).isoformat(timespec="seconds")
