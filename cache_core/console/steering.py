"""The verbs that steer ramps and kill switches: ``ramps set``, ``off``, ``on``, ``reset`` and so on."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from cache_core.console.result import DONE, WRONG, Refusal, Result, paragraphs, table
from cache_core.control.editing import KEPT
from cache_core.control.records import Change, Override
from cache_core.errors import OverrideConflict, OverridesUnavailable
from cache_core.policy.overrides import EVERYTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from cache_core.cache import Cache

ACTIONS = ("set", "off", "on", "reset", "schedule", "history")
"""What may stand behind ``ramps``; anything else there is the name of a use case."""

CAUSE = "command line"
_LAYERS = ("ramp", "local", "remote", "ttl_local", "ttl_remote")
_FIELD = {"local": "ramp_local", "remote": "ramp_remote"}


def add_options(parser: ArgumentParser) -> None:
    """Adds to the parser of ``ramps`` what its actions need."""
    parser.add_argument("--ramp", metavar="PERCENT", help="set, schedule: of both layers")
    parser.add_argument("--local", metavar="PERCENT", help="set, schedule: the ramp of one layer")
    parser.add_argument("--remote", metavar="PERCENT", help="set, schedule: the ramp of one layer")
    parser.add_argument("--ttl-local", metavar="TIME", help="set, schedule: as 5, 300 or 1h30m")
    parser.add_argument("--ttl-remote", metavar="TIME", help="set, schedule: as 5, 300 or 1h30m")
    parser.add_argument(
        "--at", metavar="TIME", help="schedule: from when on, as 2h or 2026-12-24T18:00Z"
    )
    parser.add_argument("--expires", metavar="TIME", help="set, off: when it ends, as 2h")
    parser.add_argument("--everything", action="store_true", help="off, on, reset: all use cases")
    parser.add_argument("--why", default="", help="for people; the history shows it")
    parser.add_argument("--by", help="who; by default the user of this machine")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="history: lines")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--yes", action="store_true", help="ask nothing")


def is_action(words: Sequence[str], use_cases: Sequence[str]) -> bool:
    """Whether *words* behind ``ramps`` begin with an action, and not with a use case called so."""
    return bool(words) and words[0] in ACTIONS and words[0] not in use_cases


def steered(cache: Cache, options: Mapping[str, Any], confirm: Callable[[str], bool]) -> Result:
    """Carries out an action; arguments as of ``execute``.

    Raises:
        Refusal: It cannot be done as asked.
        ConfigurationError: A name or a value is not allowed.
    """
    action, *names = options["use_cases"]
    if options["everything"]:
        names = [EVERYTHING]
    if action == "history":
        return _history(cache, names, options["limit"])
    if not names:
        raise Refusal(f"ramps {action}: name a use case, or give --everything.")
    wide = EVERYTHING in names and not options["yes"] and not options["dry_run"]
    if wide and not confirm(f"ramps {action} for every use case?"):
        return Result({"use_cases": names}, "Nothing was done.", WRONG)
    if options["dry_run"]:
        data = {"action": action, "use_cases": names, "fields": _fields(options), "dry_run": True}
        return Result(data, f"ramps {action} would change {', '.join(names)}.")
    try:
        _act(cache, action, names, options)
    except (OverrideConflict, OverridesUnavailable) as error:
        return Result({"error": str(error)}, f"{error}", WRONG)
    return _told(cache, action, names)


def _act(cache: Cache, action: str, names: Sequence[str], options: Mapping[str, Any]) -> None:
    said = {"by": options["by"] or _user(), "why": options["why"], "cause": CAUSE}
    expires = KEPT if options["expires"] is None else options["expires"]
    control, fields = cache.control, _fields(options)
    if action == "off":
        control.switch_off(*names, expires=expires, **said)
    elif action == "on":
        control.switch_on(*names, **said)
    elif action == "reset":
        control.reset(*names, **said)
    elif not fields:
        raise Refusal(
            f"ramps {action}: give --ramp, --local, --remote, --ttl-local or --ttl-remote."
        )
    elif action == "set":
        control.change_many(dict.fromkeys(names, fields), expires=expires, **said)
    else:
        _schedule(cache, names, fields, options["at"], said)


def _schedule(
    cache: Cache, names: Sequence[str], fields: dict[str, Any], at: str | None, said: dict[str, str]
) -> None:
    """Adds one step to those that are planned already."""
    if at is None:
        raise Refusal("ramps schedule: give --at, as 2h or 2026-12-24T18:00Z.")
    cache.control.refresh()
    wall = cache.clock.wall()
    for name in names:
        before = cache.control.overrides().get(name)
        planned: list[tuple[object, dict[str, Any]]] = [
            (datetime.fromtimestamp(step.at, tz=timezone.utc), step.policy.to_mapping())
            for step in (before.steps if before is not None else ())
            if step.at > wall
        ]
        expected = before.revision if before is not None else ""
        cache.control.schedule(name, [*planned, (at, fields)], expected=expected, **said)


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    given = {_FIELD.get(name, name): options[name] for name in _LAYERS}
    return {name: value for name, value in given.items() if value is not None}


def _told(cache: Cache, action: str, names: Sequence[str]) -> Result:
    state, overrides = cache.control.state, cache.control.overrides()
    data = {name: _plain(overrides.get(name)) for name in names}
    reach = "" if state.shared else "This process only: no other one sees it."
    return Result(data, paragraphs(f"ramps {action}: {', '.join(names)}.", reach), DONE)


def _plain(override: Override | None) -> dict[str, Any] | None:
    return override.to_mapping() if override is not None else None


def _history(cache: Cache, names: Sequence[str], limit: int) -> Result:
    try:
        changes = cache.control.history(names[0] if names else None, limit=limit)
    except OverridesUnavailable as error:
        return Result({"error": str(error)}, f"{error}", WRONG)
    head = ("when", "use case", "what", "by", "cause", "why")
    text = table(head, map(_line, changes)) or "Nothing was ever changed."
    return Result([change.to_mapping() for change in changes], text)


def _line(change: Change) -> tuple[object, ...]:
    when = datetime.fromtimestamp(change.at, tz=timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    what = ", ".join(
        f"{name} {_word(old)} -> {_word(new)}" for name, (old, new) in change.fields.items()
    )
    return (when, change.use_case, what, change.by, change.cause, change.why)


def _word(value: object) -> str:
    return "-" if value is None else str(value)


def _user() -> str:
    with suppress(Exception):  # a container may have no name for its user
        return getpass.getuser()
    return ""
