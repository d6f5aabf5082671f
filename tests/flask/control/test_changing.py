"""What forms change, who is told what, and what becomes of two people at one page."""

from __future__ import annotations

import pytest

FORM = {
    "name": "GetUser",
    "enabled": "",
    "ramp_local": "",
    "ramp_remote": "",
    "ttl_local": "",
    "ttl_remote": "",
    "expires": "",
    "why": "",
}
OF_USER = {"shown_at": "/use-case", "query": {"name": "GetUser"}}


def save(visitor, **fields):
    """Fills in the form of `GetUser`."""
    return visitor.submit("/use-case", **OF_USER, **{**FORM, "do": "save", **fields})


def test_what_is_filled_in_is_set(visitor, control, cache, app):
    """Ramps, TTLs, the end and the reason, by whoever is there; told once on the page that follows."""
    answer = save(
        visitor,
        ramp_local="25",
        ramp_remote="5",
        ttl_remote="5m",
        expires="2h",
        why="the new query",
    )
    assert (answer.status_code, answer.location) == (303, "/_cache/use-case?name=GetUser")
    policy = cache.for_app(app).policy("GetUser")
    assert (policy.local.ramp, policy.remote.ramp, policy.remote.ttl) == (25, 5, 300)
    (change,) = control.history()
    assert (change.by, change.why, change.cause) == ("ann", "the new query", "page")
    assert control.overrides()["GetUser"].expires_at is not None
    assert "Saved: GetUser." in visitor.get().text
    assert "Saved: GetUser." not in visitor.get().text


def test_an_empty_field_gives_it_back(visitor, control):
    """What was set and is emptied holds by code and settings again; the rest stays."""
    save(visitor, ramp_local="25", ttl_local="5")
    save(visitor, ramp_local="", ttl_local="5")
    assert control.overrides()["GetUser"].policy.to_mapping() == {"ttl_local": 5}


def test_the_kill_switch_of_one(visitor, cache, app):
    """Off and on again by the list of the form."""
    save(visitor, enabled="off")
    assert not cache.for_app(app).policy("GetUser").enabled
    save(visitor, enabled="")
    assert cache.for_app(app).policy("GetUser").enabled


def test_a_form_that_says_nothing_new_writes_nothing(visitor, control):
    """There is no line of history for it."""
    assert save(visitor).status_code == 303
    assert control.history() == []
    assert "Nothing was changed" in visitor.get("/use-case", name="GetUser").text


@pytest.mark.parametrize(
    ("field", "value"),
    [("ramp_local", "150"), ("ttl_remote", "soon"), ("expires", "yesterday"), ("enabled", "maybe")],
)
def test_what_is_wrong_is_told_beside_its_field(visitor, control, field, value):
    """With what was typed still there, and nothing changed."""
    answer = save(visitor, **{"ramp_remote": "7", field: value})
    assert answer.status_code == 400
    assert f'id="{field}-error"' in answer.text
    assert f"{field}-help {field}-error" in answer.text
    assert 'value="7"' in answer.text
    assert control.overrides() == {}


def test_two_people_at_one_page(app, visit, control):
    """The second one changes nothing, sees both values, and may then put theirs in their place."""
    ann, bob = visit(app), visit(app)
    seen = ann.hidden("/use-case", name="GetUser")
    save(bob, ramp_local="90")
    answer = ann.post("/use-case", {**seen, **FORM, "do": "save", "ramp_local": "20"})
    assert answer.status_code == 409
    assert "<td>90</td><td>20</td>" in answer.text
    assert control.overrides()["GetUser"].policy.ramp_local == 90
    revision = control.overrides()["GetUser"].revision
    again = {**seen, **FORM, "do": "save", "ramp_local": "20", "revision": revision}
    assert f'name="revision" value="{revision}"' in answer.text
    assert ann.post("/use-case", again).status_code == 303
    assert control.overrides()["GetUser"].policy.ramp_local == 20


def test_fields_that_were_left_alone_are_theirs(app, visit, control):
    """Who saves again after a conflict puts back nothing that they have not touched."""
    ann, bob = visit(app), visit(app)
    stale = {**ann.hidden("/use-case", name="GetUser"), **FORM, "do": "save", "ttl_remote": "60"}
    save(bob, ramp_local="90", enabled="off")
    answer = ann.post("/use-case", stale)
    assert answer.status_code == 409
    assert "<td>90</td><td>90</td>" in answer.text
    typed = {"ramp_local": "90", "enabled": "off"}
    again = {**stale, **ann.hidden_in(answer), **typed}
    assert again["seen-ramp_local"] == "90" and again["seen-ttl_remote"] == ""
    assert ann.post("/use-case", again).status_code == 303
    wished = control.overrides()["GetUser"].policy
    assert (wished.ramp_local, wished.enabled, wished.ttl_remote) == (90, False, 60)


def test_a_mistake_after_a_conflict_forgets_nothing(app, visit, control):
    """What the form has shown at first goes along while its mistakes are mended."""
    ann, bob = visit(app), visit(app)
    stale = {**ann.hidden("/use-case", name="GetUser"), **FORM, "do": "save"}
    wrong = ann.post("/use-case", {**stale, "ttl_remote": "soon"})
    save(bob, ramp_local="90")
    mended = {**FORM, "do": "save", **ann.hidden_in(wrong), "ttl_remote": "60"}
    answer = ann.post("/use-case", mended)
    assert answer.status_code == 409
    assert "<td>90</td><td>90</td>" in answer.text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/use-case", {"name": "GetUser", "do": "reset"}),
        ("/use-case", {"name": "GetUser", "do": "unplan"}),
        ("/several", {"action": "ramp_5", "use_case": "GetUser", "confirmed": "yes"}),
        ("/several", {"action": "reset", "use_case": "GetUser", "confirmed": "yes"}),
    ],
)
def test_every_write_carries_the_revision_that_was_seen(visitor, control, path, fields):
    """What somebody else has changed since the page was made stays, and is shown."""
    hidden = {**visitor.hidden("/use-case", name="GetUser"), **visitor.hidden()}
    control.ramp("GetUser", 90, by="bob", why="faster")
    answer = visitor.post(path, {**hidden, **fields})
    assert answer.status_code == 409
    assert "bob" in answer.text and "faster" in answer.text
    assert control.overrides()["GetUser"].policy.ramp_local == 90


def test_the_switch_of_everything_carries_it_too(visitor, control):
    """Whoever wants to switch on what was switched off anew meanwhile is told."""
    hidden = visitor.hidden("/everything")
    control.switch_off_everything(by="bob")
    assert visitor.post("/everything", {**hidden, "do": "on"}).status_code == 409
    assert control.listing().everything_is_off


def test_reset(visitor, control):
    """What was set is gone; code and settings hold."""
    save(visitor, ramp_local="25")
    answer = visitor.submit("/use-case", **OF_USER, name="GetUser", do="reset", why="done")
    assert answer.location == "/_cache/"
    assert control.overrides() == {} and control.history()[0].why == "done"


def test_what_is_planned_is_shown_and_taken_back(visitor, control):
    """Steps to come stand on the page of their use case."""
    control.schedule("GetUser", [("1h", {"ramp": 50})])
    assert "Take the plan back" in visitor.get("/use-case", name="GetUser").text
    visitor.submit("/use-case", **OF_USER, name="GetUser", do="unplan")
    assert "Take the plan back" not in visitor.get("/use-case", name="GetUser").text


def test_several_at_once_are_asked_about_first(visitor, control):
    """The first page changes nothing; the second does all of them, with who and why."""
    chosen = {"action": "ramp_25", "use_case": ["GetUser", "GetPage"]}
    asked = visitor.submit("/several", "/", **chosen)
    assert asked.status_code == 200 and "2 use cases would change" in asked.text
    assert control.overrides() == {}
    answer = visitor.submit("/several", "/", **chosen, confirmed="yes", why="first quarter")
    assert answer.status_code == 303
    ramps = {name: one.policy.ramp_local for name, one in control.overrides().items()}
    assert ramps == {"GetUser": 25, "GetPage": 25}
    assert {(line.by, line.why) for line in control.history()} == {("ann", "first quarter")}
    assert "Ramp to 25 %: GetPage, GetUser." in visitor.get().text


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "ramp_25"},
        {"action": "explode", "use_case": "GetUser"},
        {"action": "ramp_25", "use_case": "Nobody", "confirmed": "yes"},
    ],
)
def test_what_makes_no_sense_is_told(visitor, control, fields):
    """No use case, no such action, no such use case."""
    answer = visitor.submit("/several", "/", **fields)
    assert answer.status_code == 400 and 'role="alert"' in answer.text
    assert control.overrides() == {}


def test_everything_off_and_on(visitor, control, cache, app):
    """With a reason and an end; what is off says so on the overview."""
    answer = visitor.submit("/everything", do="off", why="wrong prices", expires="2h")
    assert answer.status_code == 303
    assert not cache.for_app(app).policy("GetPage").enabled
    override = control.overrides()["*"]
    assert (override.why, override.expires_at is None) == ("wrong prices", False)
    assert "Everything is switched off" in visitor.get().text
    visitor.submit("/everything", do="on")
    assert cache.for_app(app).policy("GetPage").enabled


def test_an_end_that_is_none_is_told(visitor, control):
    """Nothing is switched off for ever by a slip."""
    answer = visitor.submit("/everything", do="off", expires="someday")
    assert answer.status_code == 400 and "a moment to come" in answer.text
    assert control.overrides() == {}


def test_an_orphan_can_be_removed(visitor, control, cache, app):
    """What is left of a use case that no code knows any more."""
    store = cache.for_app(app).runtime.following.store
    control.ramp("GetPage", 5)
    edit = next(iter(store.load().overrides.values()))
    from cache_core.control.records import Edit

    store.write([Edit("Gone", "", edit)])
    assert "orphan" in visitor.get().text
    page = {"shown_at": "/use-case", "query": {"name": "Gone"}}
    assert visitor.submit("/use-case", **page, name="Gone", do="reset").status_code == 303
    assert "Gone" not in control.overrides()


# -- invalidating ----------------------------------------------------------------------------------


def loads(cache, app, name="GetUser"):
    return cache.for_app(app).stats()["use_cases"][name]["loads"]


def test_invalidation_says_first_what_it_would_do(visitor, cache, app):
    """The first page lists it and changes nothing; the second invalidates."""
    visitor.client.get("/user/7")
    visitor.client.get("/user/7")
    assert loads(cache, app) == 1
    wanted = {"key_type": "user_id", "ids": "7 8\n9", "tag": "", "use_case": "", "tenant": ""}
    asked = visitor.submit("/invalidate", **wanted)
    assert asked.status_code == 200
    assert "<li>user_id 7</li><li>user_id 8</li><li>user_id 9</li>" in asked.text
    visitor.client.get("/user/7")
    assert loads(cache, app) == 1
    answer = visitor.submit("/invalidate", **wanted, confirmed="yes")
    assert (answer.status_code, answer.location) == (303, "/_cache/invalidate")
    visitor.client.get("/user/7")
    assert loads(cache, app) == 2
    assert "Invalidated: user_id 7, user_id 8, user_id 9." in visitor.get("/invalidate").text


def test_what_was_asked_for_is_carried_to_the_second_page(visitor):
    """Its form holds what the first one was filled in with, and no old token."""
    asked = visitor.submit("/invalidate", key_type="user_id", all="yes", tag="<b>\nnews")
    assert "<li>every user_id</li>" in asked.text and "<li>tag &lt;b&gt;</li>" in asked.text
    assert 'name="all" value="yes"' in asked.text
    assert asked.text.count('name="cache_core_token"') == 1


def test_a_key_type_that_nothing_is_about_is_doubted(visitor):
    """It may be misspelt."""
    asked = visitor.submit("/invalidate", key_type="usr_id", ids="7")
    assert "Did you mean &#39;user_id&#39;?" in asked.text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"key_type": "user_id"},
        {"key_type": "user_id", "ids": "7", "all": "yes"},
        {"use_case": "Nobody"},
        {"key_type": "user_id", "ids": "x " * 1001},
    ],
)
def test_an_invalidation_that_cannot_be_is_told(visitor, fields):
    """What is missing, what contradicts itself, what does not exist, and too much at once."""
    answer = visitor.submit("/invalidate", **fields)
    assert answer.status_code == 400 and 'role="alert"' in answer.text


def test_the_log_knows_who_has_invalidated(visitor, caplog):
    """The history of overrides does not tell of it."""
    with caplog.at_level("INFO", logger="cache_core"):
        visitor.submit("/invalidate", key_type="user_id", ids="7", confirmed="yes")
    assert "'ann' has invalidated user_id 7" in caplog.text
