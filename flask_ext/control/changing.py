"""What forms ask for. Each goes on to a page when it is done, and changes nothing when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Response, request

from cache_core.console import Refusal, execute
from cache_core.control.editing import KEPT
from cache_core.errors import (
    CacheCoreError,
    ConfigurationError,
    OverrideConflict,
    OverridesUnavailable,
)
from cache_core.events import logger
from cache_core.page import form
from cache_core.page.actions import ACTIONS, carry_out
from cache_core.page.notices import Notice
from cache_core.policy.overrides import EVERYTHING
from flask_ext.control.looking import known, row_of, show_use_case

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask_ext.control.desk import Desk

CAUSE = "page"
"""What the history calls the kind of place."""

MOST_IDS = 1_000
"""So many ids are invalidated by one form at most."""

ASKED = ("key_type", "ids", "all", "tag", "use_case", "tenant", "buffer_ms")
"""The fields of the form of invalidations."""

SAVED = "Saved: %(name)s."
UNCHANGED = "Nothing was changed: the form said what holds already."
RESET = "Reset to code and settings: %(name)s."
UNPLANNED = "What was planned for %(name)s was taken back."
CARRIED_OUT = "%(action)s: %(names)s."
IS_OFF = "Everything is switched off."
IS_ON = "Everything is switched on again."
INVALIDATED = "Invalidated: %(names)s."
NOTHING_CHOSEN = "No use case was chosen."
NO_ACTION = "That is no action: %(action)s."
TOO_MANY = "These are more than %(number)s ids at once."
NOT_DELIVERED = "The store did not acknowledge it; repeat it when it answers."
UNAVAILABLE = "Nothing was changed: %(problem)s"
CONFLICT = "Nothing was changed: the override of %(name)s was changed meanwhile."


def save(desk: Desk, by: str) -> Response:
    """What was filled in for one use case."""
    name = request.form.get("name", "")
    work = {"reset": _reset, "unplan": _unplan}.get(request.form.get("do", ""), _save)
    return work(desk, name, by)


def several(desk: Desk, by: str) -> Response:
    """An action on several use cases: asks first, and does it when that was answered."""
    data = request.form
    names = list(dict.fromkeys(data.getlist("use_case")))
    action = ACTIONS.get(data.get("action", ""))
    if action is None:
        return desk.problem(Notice(NO_ACTION, {"action": data.get("action", "")}), 400)
    if not names:
        return desk.problem(Notice(NOTHING_CHOSEN), 400)
    revisions = {name: data.get(f"revision:{name}", "") for name in names}
    if "confirmed" not in data:
        listing = desk.cache.control.listing()
        rows = [row for name in names if (row := row_of(listing, name)) is not None]
        return desk.show("several.html", action=action, rows=rows, revisions=revisions)
    done = carry_out(
        desk.cache,
        action,
        names,
        by=by,
        why=data.get("why", "").strip(),
        cause=CAUSE,
        expected=revisions,
    )
    said = {"action": desk.say(action.label), "names": _some(done)}
    return desk.done(desk.url("index"), Notice(CARRIED_OUT, said))


def everything(desk: Desk, by: str) -> Response:
    """The kill switch of all use cases."""
    data = request.form
    off = data.get("do") == "off"
    desk.cache.control.change(
        EVERYTHING,
        enabled=False if off else None,
        by=by,
        why=data.get("why", "").strip(),
        cause=CAUSE,
        expires=(data.get("expires", "").strip() or None) if off else KEPT,
        expected=data.get("revision", ""),
    )
    return desk.done(desk.url("index"), Notice(IS_OFF if off else IS_ON))


def invalidate(desk: Desk, by: str) -> Response:
    """Says what would be invalidated, and does it when that was answered."""
    data = request.form
    options = _asked()
    if len(options["ids"]) > MOST_IDS:
        return _invalidation(desk, 400, problem=Notice(TOO_MANY, {"number": MOST_IDS}))
    confirmed = "confirmed" in data
    try:
        result = execute(desk.cache, {**options, "dry_run": not confirmed})
    except (Refusal, CacheCoreError) as error:
        return _invalidation(desk, 400, problem=Notice("%(problem)s", {"problem": error}))
    found: Any = result.data
    if not confirmed:
        return _invalidation(desk, 200, plan=found)
    if not found["delivered"]:
        return _invalidation(desk, 503, problem=Notice(NOT_DELIVERED))
    logger.info("%r has invalidated %s on the control page", by, ", ".join(found["targets"]))
    said = {"names": _some(found["targets"])}
    return desk.done(desk.url("invalidate"), Notice(INVALIDATED, said))


def guarded(desk: Desk, work: Callable[[Desk, str], Response], by: str) -> Response:
    """Does *work*, and tells what a store or another person has put in its way."""
    try:
        return work(desk, by)
    except OverrideConflict as conflict:
        notice = Notice(CONFLICT, {"name": conflict.use_case})
        return desk.problem(notice, 409, theirs=conflict.theirs, name=conflict.use_case)
    except OverridesUnavailable as error:
        return desk.problem(Notice(UNAVAILABLE, {"problem": error}), 503)
    except ConfigurationError as error:
        return desk.problem(Notice("%(problem)s", {"problem": error}), 400)


def _save(desk: Desk, name: str, by: str) -> Response:
    wall = desk.cache.clock.wall()
    row = row_of(desk.cache.control.listing(), name)
    now = form.shown(None if row is None else row.override, wall)
    mine = {key: request.form.get(key, now[key]) for key in now}
    wish = form.wanted(mine, now)
    where = desk.url("use_case", name=name)
    if wish.is_empty and wish.revision == now[form.REVISION]:
        return desk.done(where, Notice(UNCHANGED))
    try:
        form.save(desk.cache, name, wish, by=by, cause=CAUSE)
    except OverrideConflict as conflict:
        theirs = form.shown(conflict.theirs, wall)
        texts = form.merged(mine, _seen(), theirs)
        told = {"conflict": conflict.theirs, "theirs": theirs, "is_conflict": True}
        return show_use_case(desk, name, 409, texts=texts, seen=theirs, **told)
    except ConfigurationError as error:
        told = {"texts": mine, "seen": _seen(), "errors": form.errors(error)}
        return show_use_case(desk, name, 400, **told)
    return desk.done(where, Notice(SAVED, {"name": name}))


def _seen() -> dict[str, str]:
    """What the form showed before somebody filled it in."""
    given = {name: request.form.get(f"seen-{name}") for name in form.VALUES}
    return {name: text for name, text in given.items() if text is not None}


def _reset(desk: Desk, name: str, by: str) -> Response:
    revisions = {name: request.form.get(form.REVISION, "")}
    why = request.form.get(form.WHY, "").strip()
    desk.cache.control.reset(name, by=by, why=why, cause=CAUSE, expected=revisions)
    return desk.done(desk.url("index"), Notice(RESET, {"name": name}))


def _unplan(desk: Desk, name: str, by: str) -> Response:
    revision = request.form.get(form.REVISION, "")
    desk.cache.control.schedule(name, [], by=by, cause=CAUSE, expected=revision)
    return desk.done(desk.url("use_case", name=name), Notice(UNPLANNED, {"name": name}))


def _asked() -> dict[str, Any]:
    """What the form names, as the command has it."""
    data = request.form
    return {
        "verb": "invalidate",
        "key_type": data.get("key_type", "").strip() or None,
        "ids": data.get("ids", "").split(),
        "all": "all" in data,
        "tag": _lines(data.get("tag", "")),
        "use_case": [name for name in data.getlist("use_case") if name],
        "tenant": data.get("tenant", "").split(),
        "buffer_ms": data.get("buffer_ms", 0, type=int),
        "yes": True,
    }


def _invalidation(desk: Desk, status: int, **context: Any) -> Response:
    given = {name: request.form[name] for name in ASKED if name in request.form}
    return desk.show(
        "invalidate.html", status, **{"known": known(desk), "given": given, "plan": None, **context}
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _some(names: Any, most: int = 8) -> str:
    """A few of *names*: the message travels in a cookie."""
    shown = [name[:60] for name in names[:most]]
    return ", ".join(shown) + (f" ... ({len(names)})" if len(names) > most else "")
