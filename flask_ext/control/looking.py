"""The pages that show something and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify, request
from markupsafe import escape

from cache_core.console import execute
from cache_core.doctor import examine
from cache_core.errors import CacheCoreError
from cache_core.events import logger
from cache_core.page import form
from cache_core.page.actions import ACTIONS
from cache_core.page.notices import Notice, notices
from cache_core.page.overview import PLOT_LABEL, line, overview
from flask_ext.control.plain import plain

if TYPE_CHECKING:
    from cache_core.control.listing import Controlled, Listing
    from cache_core.control.records import Change, Override
    from cache_core.page.overview import Overview
    from flask_ext.control.desk import Desk

LINES = 50
"""Lines of history on one page."""

UNKNOWN = "There is no use case %(name)s, and nothing is set for one."
FAILED = "%(kind)s: %(problem)s"

STYLE = (Path(__file__).parent / "control.css").read_text(encoding="utf-8")


def index(desk: Desk) -> Response:
    """All use cases, a page at a time."""
    return desk.show("overview.html", view=_overview(desk), actions=ACTIONS.values())


def as_json(desk: Desk) -> Response:
    """The same for scripts."""
    return desk.finished(jsonify(plain(_overview(desk))))


def use_case(desk: Desk) -> Response:
    """One use case: what is set for it, and what was."""
    name = request.args.get("name", "")
    return show_use_case(desk, name)


def show_use_case(desk: Desk, name: str, status: int = 200, **context: Any) -> Response:
    """The page of one use case.

    Args:
        desk: The control page.
        name: The use case.
        status: Of the response.
        context: What stands on it besides, in place of what would.
    """
    listing, fleet = desk.cache.control.listing(), desk.cache.fleet()
    row = row_of(listing, name)
    if row is None:
        return desk.problem(Notice(UNKNOWN, {"name": name}), 404)
    wall = desk.cache.clock.wall()
    changes, problem = _history(desk, name)
    texts = form.shown(row.override, wall)
    return desk.show(
        "use_case.html",
        status,
        **{
            "line": line(row, fleet, escape(desk.say(PLOT_LABEL)), desk.cache.advice()),
            "fleet": fleet,
            "notices": notices(desk.cache.runtime, listing, fleet),
            "texts": texts,
            "seen": texts,
            "otherwise": _otherwise(row),
            "errors": {},
            "planned": planned(row.override, wall),
            "history": changes,
            "history_problem": problem,
            **context,
        },
    )


def explain(desk: Desk) -> Response:
    """What the next call would do, and why."""
    name = request.args.get("name", "")
    arguments = request.args.get("arguments", "")
    said, problem = None, None
    if name:
        given = [text.strip() for text in arguments.splitlines() if text.strip()]
        said, problem = _explained(desk, name, given)
    return desk.show(
        "explain.html",
        known=known(desk),
        name=name,
        arguments=arguments,
        said=said,
        problem=problem,
    )


def doctor(desk: Desk) -> Response:
    """What is wrong, and what to do about it."""
    return desk.show("doctor.html", findings=examine(desk.cache))


def everything(desk: Desk) -> Response:
    """The switch of all use cases, before it is thrown."""
    return desk.show("everything.html", listing=desk.cache.control.listing())


def invalidation(desk: Desk) -> Response:
    """The form of what has changed behind the cache's back."""
    return desk.show("invalidate.html", known=known(desk), given={}, plan=None)


def style(desk: Desk) -> Response:
    """The style sheet."""
    return desk.finished(Response(STYLE, mimetype="text/css"))


def row_of(listing: Listing, name: str) -> Controlled | None:
    """The row of a use case; None where there is none."""
    return next((row for row in listing.rows if row.use_case == name), None)


def known(desk: Desk) -> list[tuple[str, str]]:
    """Name and key type of each declared use case."""
    return [(each.name, each.key_type or "") for each in desk.cache.use_cases()]


def planned(override: Override | None, wall: float) -> list[tuple[float, dict[str, Any]]]:
    """Moment and fields of each step that is yet to come after *wall*."""
    if override is None or override.has_expired(wall):
        return []
    return [(step.at, step.policy.to_mapping()) for step in override.steps if step.at > wall]


def _overview(desk: Desk) -> Overview:
    return overview(
        desk.cache,
        search=request.args.get("q", ""),
        number=request.args.get("page", 1, type=int),
        label=str(escape(desk.say(PLOT_LABEL))),
    )


def _otherwise(row: Controlled) -> dict[str, str]:
    """Field -> what would hold without the override, as text."""
    if row.otherwise is None:
        return {}
    values = {name: value for name, value, _ in row.otherwise.rows() if name in form.FIELDS}
    return {
        name: ("on" if value else "off") if name == form.SWITCH else _number(value)
        for name, value in values.items()
    }


def _number(value: object) -> str:
    return "" if value is None else f"{value:g}"


def _history(desk: Desk, name: str) -> tuple[list[Change], str]:
    try:
        return desk.cache.control.history(name, limit=LINES), ""
    except Exception as error:  # noqa: BLE001 - a store of somebody else; the rest of the page stands
        return [], str(error) or type(error).__name__


def _explained(desk: Desk, name: str, given: list[str]) -> tuple[Any, Notice | None]:
    options = {"verb": "explain", "use_case": name, "arguments": given}
    try:
        return execute(desk.cache, options).data, None
    except CacheCoreError as error:
        return None, Notice("%(problem)s", {"problem": error})
    except Exception as error:  # noqa: BLE001 - what a use case's own callables make of these arguments
        logger.warning("%s could not be explained", name, exc_info=True)
        return None, Notice(FAILED, {"kind": type(error).__name__, "problem": error})
