"""What can be done to several use cases at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from cache_core.cache import Cache

RAMPS = (0, 1, 5, 25, 50, 100)

_NO_REVISIONS: Mapping[str, str] = MappingProxyType({})


class Action(NamedTuple):
    """One thing that can be done.

    Args:
        name: What a form calls it.
        label: What people read; ``%`` stands for itself.
        fields: The fields of the policy that it sets; None removes the override.
        is_kill_switch: Whether it needs the permission for kill switches.
    """

    name: str
    label: str
    fields: Mapping[str, Any] | None
    is_kill_switch: bool = False


def _ramp(percent: int) -> Action:
    return Action(f"ramp_{percent}", f"Ramp to {percent} %", MappingProxyType({"ramp": percent}))


_ALL = (
    *map(_ramp, RAMPS),
    Action("switch_off", "Switch off", MappingProxyType({"enabled": False}), True),
    Action("switch_on", "Take the kill switch back", MappingProxyType({"enabled": None}), True),
    Action("reset", "Reset to code and settings", None),
)

ACTIONS: Mapping[str, Action] = MappingProxyType({action.name: action for action in _ALL})
"""Name -> action, in the order in which pages show them."""


def carry_out(
    cache: Cache,
    action: Action,
    names: Iterable[str],
    *,
    by: str,
    why: str,
    cause: str,
    expected: Mapping[str, str] = _NO_REVISIONS,
) -> Sequence[str]:
    """Does *action* to all of *names* or to none; raises as ``Control.change_many``.

    Args:
        cache: The cache.
        action: What is to be done.
        names: Use cases.
        by: Who does it.
        why: For people.
        cause: What kind of page it was done on.
        expected: Use case -> the revision that its override must still have.

    Returns:
        The names, sorted, each once.
    """
    wanted = sorted(set(names))
    if action.fields is None:
        cache.control.reset(*wanted, by=by, why=why, cause=cause, expected=expected)
    else:
        changes = {name: dict(action.fields) for name in wanted}
        cache.control.change_many(changes, by=by, why=why, cause=cause, expected=expected)
    return wanted
