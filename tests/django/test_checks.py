"""System checks: every mistake has an id, says where it is, and often what to do."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.test import override_settings

from cache_core import MissingExtra
from django_ext import DjangoCache
from django_ext import checks as ours
from django_ext.tracking import Tracker
from tests.django.library.models import Abstract, Book, Foreign, Parcel


def ids(messages):
    return [message.id for message in messages]


def test_a_right_project_has_no_messages():
    """The project of these tests passes, as Django runs the checks."""
    assert checks.run_checks(tags=[checks.Tags.caches]) == []


def test_every_problem_in_the_settings_is_an_error():
    """E001 for each, with the path, what was found, what is allowed, and a hint."""
    wrong = {"NAMESPASE": "x", "USE_CASES": {"GetAuthor": {"ramp": 120}}}
    with override_settings(CACHE_CORE=wrong):
        messages = checks.run_checks(tags=[checks.Tags.caches])
    assert ids(messages) == ["cache_core.E001", "cache_core.E001"]
    assert messages[0].msg.startswith("CACHE_CORE['NAMESPASE'] is unknown; expected one of")
    assert messages[0].hint == "Did you mean 'namespace'?"
    assert "CACHE_CORE['USE_CASES']['GetAuthor']['ramp']" in messages[1].msg
    assert all(isinstance(message, checks.Error) for message in messages)


def test_a_wrong_redis_url_is_an_error():
    """What only shows when the parts are put together is found as well, without connecting."""
    with override_settings(CACHE_CORE={"REDIS": "http://nowhere"}):
        (message,) = ours.check_settings()
    assert message.id == "cache_core.E001"
    assert "CACHE_CORE['REDIS']" in message.msg


def test_a_missing_package_is_an_error(monkeypatch):
    """E004 says what to install."""

    def missing(self):
        raise MissingExtra("The remote layer", package="redis", extra="redis")

    monkeypatch.setattr(DjangoCache, "runtime", property(missing))
    (message,) = ours.check_settings()
    assert message.id == "cache_core.E004"
    assert "pip install 'cache-core[redis]'" in message.msg


@pytest.mark.parametrize(
    ("model", "mapping", "id", "hint"),
    [
        ("library.Buch", {}, "E002", "app.Model"),
        ("nonsense", {}, "E002", "app.Model"),
        (Abstract, {}, "E002", "inherit"),
        (Book, {"id": "autor"}, "E003", "Did you mean 'author_id'?"),
        (Book, {"id": "xyzzy"}, "E003", "Give one of: id, title, author_id."),
        (Book, {"id": "tags"}, "E003", "one column"),
    ],
    ids=["no such model", "no label", "abstract", "misspelt field", "no such field", "many values"],
)
def test_a_wrong_mapping_is_an_error(monkeypatch, model, mapping, id, hint):
    """What track() was given is checked when all models are known."""
    own = Tracker(transactions=None)
    own.track(model, key_type="x_id", **mapping)
    monkeypatch.setattr(ours, "tracker", own)
    (message,) = ours.check_tracking()
    assert message.id == f"cache_core.{id}"
    assert "track(" in message.msg
    assert hint in message.hint


def test_a_swapped_model_is_an_error(monkeypatch):
    """The model in its place is to be tracked."""
    monkeypatch.setattr(User._meta, "swapped", "people.Person", raising=False)
    own = Tracker(transactions=None)
    own.track(User, key_type="user_id")
    monkeypatch.setattr(ours, "tracker", own)
    (message,) = ours.check_tracking()
    assert (message.id, message.hint) == ("cache_core.E002", "Track 'people.Person'.")


def test_an_unmanaged_model_is_a_warning(monkeypatch):
    """W003: other programs may write the table, and nobody would notice."""
    own = Tracker(transactions=None)
    own.track(Foreign, key_type="x_id")
    monkeypatch.setattr(ours, "tracker", own)
    assert ids(ours.check_tracking()) == ["cache_core.W003"]


def test_bulk_select_needs_a_queryset(monkeypatch):
    """W004: without a queryset that looks rows up, bulk="select" is bulk="type"."""
    own = Tracker(transactions=None)
    own.track(Book, key_type="x_id", bulk="select")
    own.track(Parcel, key_type="x_id", bulk="select")
    monkeypatch.setattr(ours, "tracker", own)
    (message,) = ours.check_tracking()
    assert message.id == "cache_core.W004"
    assert "library.Book" in message.msg


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "expected a dict"),
        ({"library.Book": 7}, "7 says nothing"),
        ({"library.Book": {"id": "pk"}}, "no key_type was given"),
        ({"library.Book": {"key_type": "x", "Id": "pk"}}, "Id was given"),
        ({"library.Book": "uc"}, "reserved"),
        ({"library.Book": {"key_type": "x", "bulk": "all"}}, "bulk='all'"),
        ({"library.Book": {"key_type": "x", "id": "no.such.function"}}, "No module named 'no'"),
    ],
)
def test_a_wrong_declaration_is_an_error(monkeypatch, caplog, given, said):
    """E005, with the name of the setting; the others of the dict are tracked."""
    own = Tracker(transactions=None)
    monkeypatch.setattr(ours, "tracker", own)
    own.track_declared(given)
    (message,) = ours.check_tracking()
    assert message.id == "cache_core.E005"
    assert "CACHE_CORE['TRACK']" in message.msg
    assert said in message.msg
    assert "key_type" in message.hint


def test_a_missing_middleware_is_a_warning():
    """W001 says which line to add; a subclass of the middleware counts, a wrong path is Django's."""
    with override_settings(MIDDLEWARE=["no.such.Middleware"]):
        (message,) = ours.check_middleware()
    assert message.id == "cache_core.W001"
    assert "django_ext.middleware.CacheScopeMiddleware" in message.hint


def test_several_processes_need_redis():
    """W002, for check --deploy only: without Redis each process invalidates for itself."""
    deploy = {"tags": [checks.Tags.caches], "include_deployment_checks": True}
    assert ids(checks.run_checks(**deploy)) == ["cache_core.W002"]
    with override_settings(CACHE_CORE={"REDIS": "redis://127.0.0.1:1"}):
        assert ids(ours.check_deployment()) == []
    with override_settings(CACHE_CORE={"REDIZ": 1}):
        assert ids(ours.check_deployment()) == []
