"""No other site changes anything through the browser of somebody who may."""

from __future__ import annotations

import pytest
from flask_wtf import CSRFProtect

OFF = {"do": "off"}


def send(visitor, headers, **data):
    return visitor.post("/everything", {**visitor.hidden("/everything"), **OFF, **data}, headers)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 303),
        ({"Sec-Fetch-Site": "none"}, 303),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"}, 403),
        ({"Sec-Fetch-Site": ""}, 403),
        ({"Origin": "http://localhost"}, 303),
        ({"Origin": "http://LOCALHOST:80"}, 303),
        ({"Origin": "http://localhost:8080"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
        ({"Origin": "http://evil.example/localhost"}, 403),
        ({"Origin": "http://user@localhost"}, 403),
        ({"Origin": "http://[localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({}, 403),
    ],
)
def test_a_form_must_come_from_here(visitor, control, headers, status):
    """With the right token, what counts is where the browser says that the form was."""
    assert send(visitor, headers).status_code == status
    assert bool(control.overrides()) == (status == 303)


@pytest.mark.parametrize("token", ["", "wrong", "ünsinn"])
def test_a_form_must_have_the_token_of_its_session(visitor, control, token):
    """Neither none nor another will do."""
    answer = send(visitor, {"Sec-Fetch-Site": "same-origin"}, cache_core_token=token)
    assert answer.status_code == 403 and "not of this session" in answer.text
    assert control.overrides() == {}


def test_the_token_of_another_session_is_worth_nothing(app, visit, control):
    """Each session has its own."""
    ann, eve = visit(app), visit(app)
    assert ann.hidden()["cache_core_token"] != eve.hidden()["cache_core_token"]
    assert ann.post("/everything", {**eve.hidden("/everything"), **OFF}).status_code == 403
    assert control.overrides() == {}


def test_a_session_that_was_shown_no_form_has_no_token(visitor, control):
    """An empty token is not the empty one of a fresh session."""
    assert visitor.post("/everything", {"cache_core_token": "", **OFF}).status_code == 403
    assert control.overrides() == {}


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
def test_only_forms_are_taken(visitor, control, content_type):
    """Content types that a script or a trick with a form would send are refused."""
    token = visitor.hidden()["cache_core_token"]
    text = f"cache_core_token={token}&do=off"
    answer = visitor.post("/everything", text, content_type=content_type)
    assert answer.status_code == 403 and "this is none" in answer.text
    assert control.overrides() == {}


def test_without_a_secret_key_it_can_be_read_and_not_changed(make_app, visit, cache):
    """The page says why it has no forms; a form that is sent nonetheless gets the reason."""
    app = make_app(secret=None)
    visitor = visit(app)
    page = visitor.get()
    assert page.status_code == 200 and "no SECRET_KEY" in page.text
    assert 'method="post"' not in page.text
    answer = visitor.post("/everything", OFF)
    assert answer.status_code == 403 and "no SECRET_KEY" in answer.text
    assert cache.for_app(app).control.overrides() == {}


def test_who_only_looks_gets_no_session(visitor, may):
    """A cookie is set where a form needs it, and nowhere else."""
    may["change"] = False
    assert "Set-Cookie" not in visitor.get().headers


def test_the_protection_of_flask_wtf_is_satisfied(make_app, visit, cache):
    """An app that protects all its forms is sent its own token beside ours."""
    app = make_app()
    CSRFProtect(app)
    visitor = visit(app)
    text = visitor.get("/everything").text
    theirs = text.partition('name="csrf_token" value="')[2].partition('"')[0]
    hidden = visitor.hidden("/everything")
    assert visitor.post("/everything", {**hidden, **OFF}).status_code == 400  # by Flask-WTF
    answer = visitor.post("/everything", {**hidden, **OFF, "csrf_token": theirs})
    assert answer.status_code == 303
    assert cache.for_app(app).control.overrides()["*"].policy.enabled is False


def test_the_reason_is_told(visitor):
    """Whoever set up a proxy or a script can see what it lacks."""
    assert "it has no Origin" in send(visitor, {}).text
    foreign = send(visitor, {"Origin": "https://shop.example"}).text
    assert "comes from https://shop.example" in foreign and "ProxyFix" in foreign
