"""Nobody sees or changes anything unless a hook says exactly True."""

from __future__ import annotations

import logging

import pytest
from flask import Flask, redirect

LOOKING = (
    "/",
    "/overview.json",
    "/use-case?name=GetUser",
    "/everything",
    "/invalidate",
    "/explain?name=GetUser&arguments=7",
    "/doctor",
    "/control.css",
)
CHANGING = ("/use-case", "/several", "/everything", "/invalidate")


def raises():
    raise RuntimeError("the login is broken")


def is_there(visitor, path):
    """The status of what a browser gets for a path, which may have a query."""
    return visitor.client.get(f"/_cache{path}").status_code


def test_it_is_not_there_unless_it_was_asked_for(cache):
    """``init_app`` adds no address."""
    app = Flask("shop")
    cache.init_app(app)
    assert [rule.rule for rule in app.url_map.iter_rules()] == ["/static/<path:filename>"]


@pytest.mark.parametrize("path", LOOKING)
def test_everybody_is_shown_what_there_is(visitor, path):
    """With a hook that says True, each page answers."""
    assert is_there(visitor, path) == 200


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("testing", [True, False])
def test_without_a_hook_nobody_sees_anything(make_app, visit, debug, testing):
    """Each page and each form is refused, also in debug mode and in tests."""
    app = make_app(hooks=False)
    app.config.update(DEBUG=debug, TESTING=testing)
    visitor = visit(app)
    assert {is_there(visitor, path) for path in LOOKING} == {403}
    assert {visitor.post(path).status_code for path in CHANGING} == {403}
    assert "without a hook may_view" in visitor.get().text


@pytest.mark.parametrize("said", [False, None, 1, "yes", [True], raises])
def test_whatever_is_not_true_is_a_no(visitor, may, said):
    """A hook must return True itself; something that is merely not empty is no permission."""
    may["view"] = said
    assert {is_there(visitor, path) for path in LOOKING} == {403}


@pytest.mark.parametrize("said", [False, None, 1, "yes", [True], raises])
def test_changing_is_a_permission_of_its_own(visitor, may, said, control):
    """Who may only look sees no form, and what is sent nonetheless is refused."""
    hidden = visitor.hidden("/use-case", name="GetUser")
    may["change"] = said
    assert "<button" not in visitor.get("/use-case", name="GetUser").text
    assert 'method="post"' not in visitor.get().text
    answer = visitor.post("/use-case", {**hidden, "name": "GetUser", "ramp_local": "5"})
    assert answer.status_code == 403 and "change nothing" in answer.text
    assert {visitor.post(path, hidden).status_code for path in CHANGING} == {403}
    assert control.overrides() == {}


def test_who_may_change_must_be_allowed_to_see(visitor, may, control):
    """The permission to change alone is worth nothing."""
    hidden = visitor.hidden("/everything")
    may["view"] = False
    assert visitor.post("/everything", {**hidden, "do": "off"}).status_code == 403
    assert control.overrides() == {}


@pytest.mark.parametrize("hook", ["may_view", "may_change"])
def test_a_hook_that_fails_is_a_no_and_is_logged(make_app, visit, hook, caplog):
    """Its exception reaches the log and nobody else."""
    visitor = visit(make_app(**{hook: raises}))
    with caplog.at_level(logging.ERROR, logger="cache_core"):
        answer = visitor.get() if hook == "may_view" else visitor.post("/everything")
    assert answer.status_code == 403 and "broken" not in answer.text
    assert f"hook {hook} of the control page failed" in caplog.text
    assert "the login is broken" in caplog.text


def test_a_hook_may_send_people_to_the_login(make_app, visit):
    """A response of the hook is sent in place of a refusal, for pages, scripts and forms."""
    app = make_app(may_view=lambda: redirect("/login"))
    visitor = visit(app)
    for answer in (visitor.get(), visitor.get("/overview.json"), visitor.post("/several")):
        assert (answer.status_code, answer.location) == (302, "/login")
        assert answer.headers["Cache-Control"] == "no-store"


def test_a_hook_may_send_those_who_change_something_to_the_login(make_app, visit):
    """Asking for a stronger login is the hook's business; looking goes on as before."""
    app = make_app(may_change=lambda: redirect("/sudo"))
    visitor = visit(app)
    assert visitor.get().status_code == 200
    assert visitor.post("/several").location == "/sudo"


def test_hooks_may_be_async(make_app, visit):
    """A coroutine function is waited for."""
    pytest.importorskip("asgiref")

    async def yes():
        return True

    assert visit(make_app(may_view=yes)).get().status_code == 200


def test_scripts_are_refused_in_json(visitor, may):
    """So that they need not read a page."""
    may["view"] = False
    answer = visitor.get("/overview.json")
    assert answer.status_code == 403
    assert answer.json == {"error": "You may not see this page."}


def test_the_history_knows_who_it_was(visitor, control, may):
    """The hook ``actor`` names who is there, cut where it is too long."""
    may["actor"] = "x" * 300
    visitor.submit("/everything", do="off")
    assert control.history()[0].by == "x" * 200


def test_without_that_hook_the_server_says_who_it_is(make_app, visit, cache):
    """The user that the web server has authenticated; nobody where there is none."""
    app = make_app(actor=None)
    visitor = visit(app)
    hidden = visitor.hidden("/everything")
    visitor.post("/everything", {**hidden, "do": "off"}, environ_overrides={"REMOTE_USER": "eve"})
    assert cache.for_app(app).control.history()[0].by == "eve"


def test_nothing_is_changed_by_nobody_knows_whom(make_app, visit, cache):
    """Where the hook ``actor`` fails, the history would have a gap."""
    app = make_app(actor=raises)
    assert visit(app).submit("/everything", do="off").status_code == 403
    assert cache.for_app(app).control.overrides() == {}
