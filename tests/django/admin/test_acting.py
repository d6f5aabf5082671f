"""Actions over several use cases, and the kill switch of everything."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import RequestFactory

from cache_core.errors import OverridesUnavailable
from django_ext import cache
from django_ext.models import UseCaseOverride
from django_ext.overrides import ModelOverrides
from tests.django.admin.conftest import NAME, Person

OTHER = "Other of admin tests"


@cache.cached(use_case=OTHER)
def other(word):
    """Something else that is cached."""
    return word


def test_an_action_asks_first(boss, ramp):
    """With the names and a place for a reason; nothing is done before."""
    response = boss.post("action", action="ramp_25", names=[NAME, OTHER])
    assert response.context_data["names"] == [NAME, OTHER]
    assert "This is done to 2 use cases:" in response.content.decode()
    assert ramp() == 100


def test_an_action_is_done_to_all(boss, ramp, logged):
    """With the reason in each history."""
    names = [NAME, OTHER]
    said = boss.post("action", action="ramp_25", names=names, confirmed="1", why="quarter")
    assert "done for 2 use cases" in said.content.decode()
    assert [ramp(name) for name in names] == [25, 25]
    text = "ramp_local: - -> 25.0, ramp_remote: - -> 25.0 (quarter)"
    assert sorted(logged()) == sorted((name, text) for name in names)


def test_an_action_for_all_that_was_found(boss, ramp):
    """The search decides, and not what is ticked."""
    boss.post(
        "action", action="ramp_5", all_found="on", q="Of Admin Tests", names=[NAME], confirmed="1"
    )
    assert (ramp(NAME), ramp(OTHER)) == (100, 5)


@pytest.mark.no_cover  # a thousand lines take the same way
def test_more_than_a_thousand_can_be_chosen(boss, monkeypatch):
    """What the page that asks sends is few fields, however many use cases there are."""
    own = cache._functions[OTHER]
    for number in range(1100):
        monkeypatch.setitem(cache._functions, f"Many{number}", own)
    asked = boss.post("action", action="ramp_5", all_found="on", q="many")
    data = {"action": "ramp_5", "chosen": asked.context_data["chosen"], "confirmed": "1"}
    assert "done for 1100 use cases" in boss.post("action", **data).content.decode()
    assert UseCaseOverride.objects.filter(ramp_remote=5).count() == 1100


def test_what_is_no_action_is_said(boss):
    """Nothing chosen, or something that does not exist."""
    for data in ({"action": "ramp_5"}, {"names": [NAME]}, {"action": "x", "names": [NAME]}, {}):
        assert "Choose an action" in boss.post("action", **data).content.decode()


def test_a_name_that_does_not_exist_stops_all_of_it(boss):
    """All of them or none."""
    said = boss.post("action", action="ramp_5", names=[NAME, "Nothing"], confirmed="1")
    assert "Nothing was changed." in said.content.decode()
    assert not UseCaseOverride.objects.exists()


def test_a_reset_removes_the_override(boss, ramp):
    """Also of a use case that no code knows."""
    UseCaseOverride.objects.create(use_case="Gone", ramp_local=5)
    boss.save(ramp_remote="5")
    boss.post("action", action="reset", names=[NAME, "Gone"], confirmed="1")
    assert not UseCaseOverride.objects.exists()
    assert ramp() == 100


def test_the_kill_switch_needs_a_reason(boss):
    """It is for the colleagues who wonder."""
    assert "This field is required." in boss.post("kill_switch", off="1", why=" ").content.decode()
    assert not cache.control.listing().everything_is_off


def test_the_kill_switch_is_thrown_and_taken_back(boss, logged):
    """While it is thrown a banner says so, with who and why."""
    said = boss.post("kill_switch", off="1", why="old prices").content.decode()
    assert 'role="alert"' in said
    assert "old prices" in said
    assert not cache.policy(NAME).enabled
    assert "Switch everything on again" in boss.read("kill_switch")
    boss.post("kill_switch", on="1", why="mended")
    assert cache.policy(NAME).enabled
    assert 'role="alert"' not in boss.read()
    assert [message for _, message in logged()] == [
        "enabled: - -> False (old prices)",
        "enabled: False -> - (mended)",
    ]


def test_a_store_that_takes_nothing_is_said(boss, monkeypatch):
    """For actions and the kill switch alike; and nothing is logged as done."""

    def away(*_):
        raise OverridesUnavailable("the database is away")

    monkeypatch.setattr(ModelOverrides, "write", away)
    for page, data in (
        ("action", {"action": "ramp_5", "names": [NAME], "confirmed": "1"}),
        ("kill_switch", {"off": "1", "why": "x"}),
    ):
        response = boss.post(page, **data)
        assert response.status_code == 200
        assert "the database is away" in response.content.decode()


def by_update(boss):
    UseCaseOverride.objects.create(use_case=NAME)
    UseCaseOverride.objects.update(ramp_remote=5)


def by_command(boss):
    call_command("cache_core", "ramps", "set", NAME, "--remote", "5", verbosity=0)


def by_plain_admin(boss):
    row = UseCaseOverride.objects.create(use_case=NAME)
    plain = admin.ModelAdmin(UseCaseOverride, admin.AdminSite())
    request = RequestFactory().post("/")
    request.user = boss.user
    row.ramp_remote = 5
    plain.save_model(request, row, plain.get_form(request)(), change=True)


@pytest.mark.parametrize("write", [by_update, by_command, by_plain_admin])
def test_what_others_write_is_shown_and_holds(boss, ramp, write):
    """Whatever has written it."""
    assert ramp() == 100
    write(boss)
    assert ramp() == 5
    row = next(row for row in boss.get().context_data["rows"] if row.line.name == NAME)
    assert row.layers[1].ramp == "5 %"


def test_people_with_other_names_are_named(project):
    """The history has the name that the user model gives."""
    person = Person("änn@example.org", "change_usecaseoverride")
    person.save(ramp_local="5")
    assert cache.control.history(NAME)[0].by == "änn@example.org"
