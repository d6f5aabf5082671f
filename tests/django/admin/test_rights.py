"""Who may do what."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.test import Client

from django_ext import cache
from django_ext.models import UseCaseOverride
from tests.django.admin.conftest import NAME, Person, address

PAGES = [
    ("changelist", ()),
    ("change", (NAME,)),
    ("change", ("*",)),
    ("history", (NAME,)),
    ("changes", ()),
    ("explain", ()),
    ("doctor", ()),
]
RAMP = {"action": "ramp_0", "names": [NAME], "confirmed": "1"}
OFF = {"action": "switch_off", "names": [NAME], "confirmed": "1"}


def test_who_may_look_sees_no_buttons(viewer):
    """Nothing that changes something is offered; only the explanation has a form."""
    for page, args in PAGES:
        text = viewer.read(page, *args)
        content = text[text.index('id="content"') :]
        assert ('method="post"' in content) == (page == "explain")
        assert 'type="checkbox"' not in content
        assert address("kill_switch") not in content


def test_what_he_sends_all_the_same_is_refused(viewer):
    """403, and nothing is written."""
    for page, args, data in (
        ("action", (), RAMP),
        ("action", (), OFF),
        ("change", (NAME,), {"ramp_local": "5"}),
        ("steps", (NAME,), {"at": "2h", "ramp": "5"}),
        ("kill_switch", (), {"off": "1", "why": "x"}),
        ("invalidate", (), {"key_type": "author_id", "ids": "1", "confirmed": "1"}),
    ):
        assert viewer.post(page, *args, **data).status_code == 403, page
    assert not UseCaseOverride.objects.exists()


def test_pages_that_are_made_for_changing_are_closed(viewer):
    """To who may only look."""
    for page in ("kill_switch", "invalidate"):
        assert viewer.get(page).status_code == 403


def test_staff_without_any_right_is_refused(project):
    """Also at the list."""
    assert Person("nobody").get().status_code == 403


def test_strangers_are_sent_to_the_login(project):
    """As everywhere in the admin."""
    response = Client().get(address("changelist"))
    assert (response.status_code, "/login/" in response.url) == (302, True)


def test_a_change_needs_a_token(project):
    """The admin's views are protected against requests from other sites."""
    person = Person("boss", is_superuser=True)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person.user)
    assert strict.post(address("action"), RAMP).status_code == 403
    assert not UseCaseOverride.objects.exists()


def test_an_editor_cannot_stop_everything(editor):
    """Neither by the switch, nor by a ramp of everything, nor by an action on it."""
    assert editor.post("kill_switch", off="1", why="x").status_code == 403
    assert editor.post("change", "*", ramp_local="0").status_code == 403
    assert editor.post("action", **{**RAMP, "names": ["*"]}).status_code == 403
    assert "Switch everything off" not in editor.read()
    assert not UseCaseOverride.objects.exists()


def test_an_operator_can_only_switch(operator):
    """Single use cases and everything; no ramps, no TTLs."""
    assert operator.post("action", **OFF).status_code == 200
    assert not cache.policy(NAME).enabled
    assert operator.post("action", **RAMP).status_code == 403
    assert operator.post("change", NAME, ramp_local="5").status_code == 403
    names = [name for name, _ in operator.get().context_data["actions"]]
    assert names == ["switch_off", "switch_on"]


def test_addresses_that_only_change_answer_no_get(boss):
    """GET never changes anything."""
    for page, args in (("action", ()), ("steps", (NAME,))):
        response = boss.client.get(address(page, *args), {**RAMP, "at": "2h", "ramp": "5"})
        assert response.status_code == 405
    assert not UseCaseOverride.objects.exists()


def test_no_get_changes_anything(boss):
    """Whatever stands behind the question mark."""
    for page, args in [*PAGES, ("kill_switch", ()), ("invalidate", ())]:
        data = {"off": "1", "why": "x", "ramp_local": "0", "confirmed": "1", "use_case": NAME}
        assert boss.get(page, *args, **data).status_code == 200
    assert not UseCaseOverride.objects.exists()


def test_the_index_links_to_it_for_who_may_look(viewer, project):
    """And to nobody else."""
    assert address("changelist") in viewer.client.get("/admin/").content.decode()
    nobody = Person("nobody")
    assert address("changelist") not in nobody.client.get("/admin/").content.decode()
    assert User.objects.count() == 2
