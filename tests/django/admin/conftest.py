"""The admin page over a cache with a store of its own, and people who may do more or less."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Permission, User
from django.db import transaction
from django.test import Client, override_settings
from django.urls import reverse

from cache_core.testing import FakeClock, FakeStore
from django_ext import cache
from django_ext.models import UseCaseOverride, UseCaseOverrideChange
from tests.django.library.caching import get_author

NAME = get_author.use_case.name


@pytest.fixture
def store():
    return FakeStore(FakeClock())


@pytest.fixture
def project(clean, store):
    """The project's cache, its overrides in the table; loads of them are done at once."""
    settings = {"REMOTE": store, "OVERRIDES": "model", "DEFAULT": {"ttl": 60}}
    with override_settings(CACHE_CORE=settings):
        cache.runtime.following._begin = lambda work: work()
        yield cache
    with transaction.atomic():
        for model in (UseCaseOverride, UseCaseOverrideChange, LogEntry, User):
            model.objects.all().delete()


class Person:
    """Somebody who uses the page.

    Args:
        name: Of the user, who is staff.
        rights: Permissions of ``UseCaseOverride``.
    """

    def __init__(self, name, *rights, **options):
        self.user = User.objects.create_user(name, is_staff=True, **options)
        self.user.user_permissions.set(Permission.objects.filter(codename__in=rights))
        self.client = Client(enforce_csrf_checks=False)
        self.client.force_login(self.user)

    def get(self, page="changelist", *args, **query):
        return self.client.get(address(page, *args), query)

    def post(self, page, *args, follow=True, **data):
        return self.client.post(address(page, *args), data, follow=follow)

    def read(self, page="changelist", *args, **query):
        """The text of a page, which must be there."""
        response = self.get(page, *args, **query)
        assert response.status_code == 200, response
        return response.content.decode()

    def save(self, name=NAME, *, as_seen=None, **fields):
        """Fills in the form of an override as a browser does, and sends it.

        Args:
            name: The use case.
            as_seen: The form that was looked at; the present one by default.
            fields: What is filled in.
        """
        form = as_seen or self.get("change", name).context_data["form"]
        return self.post("change", name, **{**filled(form), **fields})


def filled(form):
    """What a browser would send for *form* with nothing changed."""
    data = {field.html_name: field.value() or "" for field in form}
    seen = {f.html_initial_name: f.initial or "" for f in form if f.field.show_hidden_initial}
    return {**data, **seen}


def address(page, *args):
    name = f"admin:cache_core_django_usecaseoverride_{page}"
    return reverse(name, args=[quote(each) for each in args])


@pytest.fixture
def boss(project):
    """May do everything."""
    return Person("boss", is_superuser=True)


@pytest.fixture
def editor(project):
    """May change."""
    return Person("editor", "change_usecaseoverride")


@pytest.fixture
def viewer(project):
    """May look."""
    return Person("viewer", "view_usecaseoverride")


@pytest.fixture
def operator(project):
    """May throw kill switches."""
    return Person("operator", "flip_kill_switch")


@pytest.fixture
def logged():
    """What Django's log says: pairs of the object and the message."""
    return lambda: [
        (entry.object_id, entry.get_change_message()) for entry in LogEntry.objects.order_by("pk")
    ]


@pytest.fixture
def ramp():
    """The ramp of a layer of a use case, as the next request sees it."""

    def ask(name=NAME, layer="remote"):
        with cache.scope():
            pass
        return cache.policy(name).layer(layer).ramp

    return ask
