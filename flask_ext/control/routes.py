"""Which address leads to which page, and what each request must pass on its way there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Blueprint, Response, jsonify

from cache_core.page.notices import Notice
from flask_ext.control import changing, looking
from flask_ext.control.desk import NO_ACTOR, NOBODY, NOT_CHANGED, NOT_SEEN
from flask_ext.control.forgery import refusal

if TYPE_CHECKING:
    from flask_ext.control.desk import Desk


class Looking(NamedTuple):
    """A page that shows something.

    Args:
        name: That of its endpoint.
        rule: Its address below that of the control page.
        show: What makes it.
    """

    name: str
    rule: str
    show: Callable[[Desk], Response]


class Changing(NamedTuple):
    """What a form is sent to.

    Args:
        name: That of its endpoint.
        rule: Its address below that of the control page.
        change: What does it, and for whom.
    """

    name: str
    rule: str
    change: Callable[[Desk, str], Response]


INDEX = Looking("index", "/", looking.index)

LOOKING = (
    INDEX,
    Looking("overview_json", "/overview.json", looking.as_json),
    Looking("use_case", "/use-case", looking.use_case),
    Looking("everything", "/everything", looking.everything),
    Looking("invalidate", "/invalidate", looking.invalidation),
    Looking("explain", "/explain", looking.explain),
    Looking("doctor", "/doctor", looking.doctor),
    Looking("style", "/control.css", looking.style),
)

CHANGING = (
    Changing("save", "/use-case", changing.save),
    Changing("several", "/several", changing.several),
    Changing("switch_everything", "/everything", changing.everything),
    Changing("carry_out", "/invalidate", changing.invalidate),
)


def add_routes(blueprint: Blueprint, desk: Desk, *, leave_out: str = "") -> None:
    """Gives *blueprint* all addresses of a control page.

    Args:
        blueprint: One that is not registered yet.
        desk: The control page.
        leave_out: The name of one that it has already.
    """
    for shown in LOOKING:
        if shown.name != leave_out:
            blueprint.add_url_rule(shown.rule, shown.name, _view(look, desk, shown))
    for changed in CHANGING:
        view = _view(change, desk, changed)
        blueprint.add_url_rule(changed.rule, changed.name, view, methods=["POST"])


def look(desk: Desk, route: Looking) -> Response:
    """Answers a GET."""
    verdict = desk.access.view()
    if verdict.allowed:
        return route.show(desk)
    notice = Notice(NOBODY if desk.access.is_closed else NOT_SEEN)
    if route.name == "overview_json" and verdict.response is None:
        refused = jsonify({"error": desk.tell(notice)})
        refused.status_code = 403
        return desk.finished(refused)
    return desk.refused(verdict, notice)


def change(desk: Desk, route: Changing) -> Response:
    """Answers a POST: the hooks first, then where it comes from, then who it is."""
    verdict = desk.access.view()
    if not verdict.allowed:
        return desk.refused(verdict, Notice(NOBODY if desk.access.is_closed else NOT_SEEN))
    verdict = desk.access.change()
    if not verdict.allowed:
        return desk.refused(verdict, Notice(NOT_CHANGED))
    if (notice := refusal()) is not None:
        return desk.refused(verdict, notice)
    by = desk.access.actor()
    if by is None:
        return desk.refused(verdict, Notice(NO_ACTOR))
    return changing.guarded(desk, route.change, by)


def _view(
    answer: Callable[[Desk, Any], Response], desk: Desk, route: Any
) -> Callable[[], Response]:
    def view() -> Response:
        return answer(desk, route)

    # Other extensions look for views by module and name, as Flask-WTF does for those it exempts.
    view.__name__ = view.__qualname__ = route.name
    return view
