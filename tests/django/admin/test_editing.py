"""The form of one override."""

from __future__ import annotations

import pytest
from django.db import connection

from cache_core.errors import OverridesUnavailable
from django_ext import cache
from django_ext.models import UseCaseOverride
from django_ext.overrides import ModelOverrides
from tests.django.admin.conftest import NAME, address


def test_a_ramp_is_set_with_a_reason(boss, ramp, logged):
    """It holds at the next request, and both histories tell the old and the new value."""
    assert ramp() == 100
    response = boss.save(ramp_remote="12.5", why="first users")
    assert f"{NAME} was changed." in response.content.decode()
    assert ramp() == 12.5
    change = cache.control.history(NAME)[0]
    assert (change.by, change.why, change.cause) == ("boss", "first users", "admin")
    assert logged() == [(NAME, "ramp_remote: - -> 12.5 (first users)")]


def test_a_field_that_is_emptied_is_given_back(boss, ramp):
    """Settings and code hold again."""
    boss.save(ramp_remote="0")
    boss.save(ramp_remote="")
    assert ramp() == 100


def test_what_is_not_allowed_is_said_at_its_field(boss):
    """All of it at once; nothing is written then."""
    wrong = {"ramp_remote": "101", "ttl_local": "soon", "expires": "x"}
    form = boss.save(ramp_local="50", **wrong).context_data["form"]
    assert set(form.errors) == set(wrong)
    assert not UseCaseOverride.objects.exists()


def test_two_people_do_not_overwrite_each_other(boss, editor, ramp):
    """The slower one sees both values and what she has not touched as it is now; then hers is saved."""
    seen = editor.get("change", NAME).context_data["form"]
    boss.save(ramp_remote="90", ttl_local="7")
    response = editor.save(as_seen=seen, ramp_remote="20", why="my reason")
    form = response.context_data["form"]
    assert ramp() == 90
    assert form.theirs == {"ramp_remote": "90"}
    assert (form.data["ramp_remote"], form.data["ttl_local"]) == ("20", "7")
    assert form.data["why"] == "my reason"
    assert "Meanwhile:" in response.content.decode()
    again = {name: form.data[name] for name in form.data}
    editor.post("change", NAME, **again)
    assert ramp() == 20
    assert cache.policy(NAME).local.ttl == 7


@pytest.mark.parametrize("way", ["update", "sql"])
def test_what_is_written_past_the_page_is_not_overwritten(boss, editor, ramp, way):
    """An update of a queryset and SQL by hand leave the version; the open form notices all the same."""
    boss.save(ramp_remote="10")
    seen = editor.get("change", NAME).context_data["form"]
    if way == "update":
        UseCaseOverride.objects.filter(use_case=NAME).update(ramp_remote=90)
    else:
        with connection.cursor() as cursor:
            cursor.execute("UPDATE cache_core_override SET ramp_remote = 90")
    response = editor.save(as_seen=seen, ramp_remote="20")
    assert response.context_data["form"].theirs == {"ramp_remote": "90"}
    assert UseCaseOverride.objects.get(use_case=NAME).ramp_remote == 90


def test_saving_nothing_writes_nothing(boss, logged):
    """No override, no line in a history."""
    assert "nothing to change" in boss.save().content.decode()
    assert (cache.control.history(), logged()) == ([], [])


def test_steps_are_planned_and_taken_away(boss):
    """The page shows each with a button."""
    boss.post("steps", NAME, at="2h", ramp="50")
    boss.post("steps", NAME, at="1d", ramp="100", revision=cache.control.overrides()[NAME].revision)
    first, second = boss.get("change", NAME).context_data["steps"]
    assert first[2] == "ramp of process memory 50 %, ramp of the shared store 50 %"
    boss.post("steps", NAME, remove=first[0], revision=cache.control.overrides()[NAME].revision)
    assert [step[1:] for step in boss.get("change", NAME).context_data["steps"]] == [second[1:]]


def test_a_step_that_is_wrong_is_refused(boss):
    """The message says what was expected."""
    said = boss.post("steps", NAME, at="yesterday", ramp="50").content.decode()
    assert "Nothing was changed." in said
    assert not cache.control.overrides()


def test_the_form_shows_its_history(boss):
    """Old and new value, who, why, and where it was done."""
    boss.save(ramp_remote="10", why="careful")
    boss.save(ramp_remote="30", why="more of it")
    (newest, first) = boss.get("change", NAME).context_data["lines"]
    (difference,) = newest.differences
    assert (difference.old, difference.new) == ("10 %", "30 %")
    assert (newest.by, newest.why, first.why) == ("boss", "more of it", "careful")
    assert "more of it" in boss.read("history", NAME)
    assert NAME in boss.read("changes")


def test_a_use_case_that_is_not_there_leads_back(boss):
    """A link of Django's log may be older than the code."""
    response = boss.client.get(address("change", "Gone"), follow=True)
    assert "There is no use case Gone" in response.content.decode()


def test_names_with_any_letters_have_a_page(boss):
    """An override of a name with slashes and umlauts, and its links."""
    name = "tests/a_b:Größe?x=1"
    UseCaseOverride.objects.create(use_case=name, ramp_local=5)
    assert "No code knows this use case" in boss.read("change", name)
    assert name.replace("&", "&amp;") in boss.read("history", name)
    boss.post("action", action="reset", names=[name], confirmed="1")
    assert not UseCaseOverride.objects.exists()


def test_a_store_that_does_not_take_it_is_said(boss, monkeypatch):
    """The form comes back as it was filled in."""

    def away(*_):
        raise OverridesUnavailable("the database is away")

    monkeypatch.setattr(ModelOverrides, "write", away)
    response = boss.save(ramp_remote="20")
    assert response.status_code == 200
    assert "the database is away" in response.content.decode()
    assert response.context_data["form"].data["ramp_remote"] == "20"


def test_the_override_of_everything_has_a_form(boss, ramp):
    """What is set there holds for all."""
    assert ramp() == 100
    boss.save("*", ramp_local="40")
    assert ramp(layer="local") == 40
