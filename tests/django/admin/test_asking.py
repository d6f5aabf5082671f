"""Invalidating, explaining, the doctor, from the page."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from django.db import connection

from cache_core.errors import RemoteError
from django_ext import cache
from tests.django.admin.conftest import NAME
from tests.django.library.caching import get_author
from tests.django.library.models import Author


def name_of(pk):
    with cache.scope():
        return get_author(pk)


def stale():
    """An author whose name was changed behind the cache's back: by a client of the database."""
    author = Author.objects.create(name="old")
    assert name_of(author.pk) == "old"
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=20)) as other, other:
        other.execute("UPDATE library_author SET name = 'new' WHERE id = ?", [author.pk])
    return author.pk


def test_what_would_be_invalidated_is_shown_first(boss):
    """With the use cases that are about it; nothing is done."""
    pk = stale()
    page = boss.post("invalidate", key_type="author_id", ids=f"{pk} {pk}")
    assert page.context_data["found"]["targets"] == [f"author_id {pk}"]
    assert NAME in page.context_data["concerned"]
    assert name_of(pk) == "old"


def test_what_was_confirmed_is_invalidated(editor, logged):
    """And noted in Django's log."""
    pk = stale()
    data = {"key_type": "author_id", "ids": str(pk), "confirmed": "1"}
    assert f"Invalidated: author_id {pk}." in editor.post("invalidate", **data).content.decode()
    assert name_of(pk) == "new"
    assert logged() == [(None, f"invalidated: author_id {pk}")]


def test_every_id_and_whole_use_cases(boss):
    """Each by its field."""
    first = stale()
    boss.post("invalidate", key_type="author_id", every="on", confirmed="1")
    second = stale()
    assert name_of(first) == "new"
    boss.post("invalidate", use_case=NAME, confirmed="1")
    assert name_of(second) == "new"


def test_a_kind_that_nobody_knows_is_warned_of(boss):
    """Perhaps it is misspelt; it can be invalidated all the same."""
    page = boss.post("invalidate", key_type="author", ids="1")
    assert "author_id" in page.context_data["found"]["warnings"][0]
    assert page.context_data["concerned"] == []


def test_what_cannot_be_invalidated_is_said(boss):
    """Nothing named, ids and every id, too many ids."""
    for data in (
        {},
        {"key_type": "author_id"},
        {"key_type": "author_id", "ids": "1", "every": "on"},
        {"key_type": "author_id", "ids": " ".join(map(str, range(1001)))},
    ):
        page = boss.post("invalidate", confirmed="1", why="", **data)
        assert page.context_data["form"].errors, data


def test_a_store_that_does_not_answer_is_said(boss, store, monkeypatch):
    """The invalidation waits; it is logged for what it is."""

    def away(_):
        raise RemoteError("away")

    monkeypatch.setattr(store, "perform", away)
    page = boss.post("invalidate", key_type="author_id", ids="1", confirmed="1")
    assert "did not acknowledge" in page.content.decode()


def test_a_call_is_explained(viewer):
    """In one sentence, with layers and versions, and never with the value."""
    author = Author.objects.create(name="a secret name")
    name_of(author.pk)
    page = viewer.post("explain", use_case=NAME, arguments=f"author_id={author.pk}\n")
    text = page.content.decode()
    assert "The next read is a hit" in text
    assert f"author_id:{author.pk}" in text
    assert "a secret name" not in text
    assert len(page.context_data["said"]["layers"]) == 2


def test_who_filled_an_entry_is_told(viewer, monkeypatch):
    """The process that answers, or what the store says, which is not believed to be harmless."""
    author = Author.objects.create(name="Ada")
    name_of(author.pk)
    asked = {"use_case": NAME, "arguments": f"{author.pk}"}
    assert "<td>this process</td>" in viewer.post("explain", **asked).content.decode()
    monkeypatch.setattr("cache_core.explain._filler", lambda call, entry: "<b>7</b>")
    text = viewer.post("explain", **asked).content.decode()
    assert "<td>&lt;b&gt;7&lt;/b&gt;</td>" in text


def test_arguments_that_do_not_fit_are_said(viewer):
    """As the command says it."""
    page = viewer.post("explain", use_case=NAME, arguments="1\n2\n3")
    assert "argument" in str(page.context_data["form"].errors)


def test_the_form_is_filled_in_by_its_address(viewer):
    """The page of a use case links to it."""
    assert f'<option value="{NAME}" selected>' in viewer.read("explain", use_case=NAME)


def test_the_doctor_tells_what_it_finds(viewer):
    """With its id, how bad it is in words, and what to do."""
    findings = viewer.get("doctor").context_data["findings"]
    text = viewer.read("doctor")
    assert all(finding.id in text for _, _, finding in findings)
