"""The list of use cases."""

from __future__ import annotations

import gettext
import re
import time
from pathlib import Path

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import translation

import django_ext
from cache_core.events import Layer
from cache_core.page import notices, plot
from cache_core.page.actions import ACTIONS
from cache_core.page.overview import PLOT_LABEL
from django_ext import cache
from django_ext.admin_pages.words import OF_THE_CORE
from django_ext.models import UseCaseOverride
from tests.django.admin.conftest import NAME
from tests.django.library.caching import get_author


def line_of(page, name=NAME):
    return next(row for row in page.context_data["rows"] if row.line.name == name)


def test_every_use_case_is_there_with_what_holds(viewer):
    """Also those that nobody has set anything for; each value with where it comes from."""
    page = viewer.get()
    names = {row.line.name for row in page.context_data["rows"]}
    assert names == {each.name for each in cache.use_cases()}
    row = line_of(page)
    assert (row.state, row.line.controlled.key_type) == ("On", "author_id")
    assert [(layer.ramp, str(layer.source)) for layer in row.layers] == [("100 %", "code")] * 2


def test_what_is_set_by_hand_shows_what_would_hold_else(boss):
    """With who set it and why."""
    boss.save(ramp_remote="25", why="a quarter first")
    row = line_of(boss.get())
    assert (row.state, row.layers[1].ramp, row.layers[1].without) == ("Partly", "25 %", "100 %")
    assert "a quarter first (boss)" in boss.read()


def test_figures_are_of_this_run(viewer):
    """Requests, hits, invalidations."""
    before = line_of(viewer.get()).line.figures
    with cache.scope():
        get_author(1)
    with cache.scope():
        get_author(1)
    after = line_of(viewer.get()).line.figures
    assert (after.requests - before.requests, after.hits - before.hits) == (2, 1)


def test_shadow_reads_and_advice_are_shown(viewer):
    """How often the cache was right, and what the figures suggest."""
    tally = cache.runtime.tally(NAME)
    tally.checks.match(Layer.LOCAL)
    tally.loads = 500
    page = viewer.get()
    assert "100 % right" in page.rendered_content
    (advice,) = line_of(page).line.advice
    assert advice.text in page.rendered_content


def test_orphans_stand_at_the_end(viewer):
    """An override whose use case is gone is told of and not removed."""
    UseCaseOverride.objects.create(use_case="Gone", ramp_local=5)
    text = viewer.read()
    assert "Not in the code" in text
    assert "An override without a use case" in text
    assert UseCaseOverride.objects.filter(use_case="Gone").exists()


def test_a_search_finds_names_and_reasons(boss):
    """Upper and lower case are the same; what is not found is said."""
    boss.save(why="for the Tigers", ramp_local="5")
    for words in ("getauth", "tigers", "AUTHOR_ID"):
        assert line_of(boss.get(q=words))
    assert "Nothing fits." in boss.read(q="no such thing")


def test_any_page_number_is_answered(viewer):
    """What is no page is the first or the last one."""
    for page in ("0", "-1", "99999999999", "x", "٣", ""):
        assert viewer.get(p=page).status_code == 200


@pytest.mark.no_cover  # a thousand lines take the same way
def test_many_use_cases_come_in_pages_with_as_many_queries(viewer, monkeypatch):
    """A thousand use cases cost the queries of one."""

    def queries():
        with CaptureQueriesContext(connection) as captured:
            page = viewer.get()
        return len(captured), page

    queries()  # the tables are looked for once
    few, _ = queries()
    declared = dict(cache._functions)
    declare(monkeypatch, 1000)
    UseCaseOverride.objects.bulk_create(
        [UseCaseOverride(use_case=f"Other{number}", ramp_local=5) for number in range(500)]
    )
    queries()  # the rows are new to this process
    many, page = queries()
    assert many == few <= 6
    assert len(page.context_data["rows"]) == 200
    assert page.context_data["overview"].pages == (1000 + len(declared) + 199) // 200
    assert 'href="?p=2"' in page.content.decode()


@pytest.mark.no_cover  # a thousand lines take the same way
def test_the_time_of_a_page_grows_with_what_it_shows(viewer, monkeypatch):
    """Five times as many use cases and overrides take no more than some five times as long."""

    def best(number):
        declare(monkeypatch, number)
        UseCaseOverride.objects.all().delete()
        rows = [UseCaseOverride(use_case=f"Other{each}", ramp_local=5) for each in range(number)]
        UseCaseOverride.objects.bulk_create(rows)
        return min(once() for _ in range(2))

    def once():
        began = time.process_time()
        viewer.get()
        return time.process_time() - began

    assert best(500) < 6 * best(100)


def declare(monkeypatch, number):
    """Has the cache know so many more use cases."""
    own = cache._functions[NAME]
    for each in range(number):
        monkeypatch.setitem(cache._functions, f"Other{each}", own)


def test_the_picture_and_the_state_can_be_read_out(viewer):
    """No colour says anything alone: there are words, labels, a caption and scopes."""
    text = viewer.read()
    assert 'role="img" aria-label="requests and hits of the last five minutes"' in text
    assert '<caption id="cc-caption">' in text
    assert 'scope="row"' in text
    assert '<span aria-hidden="true">●</span> On' in text


def test_nothing_in_a_page_needs_to_be_allowed(boss):
    """No style and no script stands in a page, and no handler at an element."""
    boss.save(ramp_local="5")
    for page in (boss.read(), boss.read("change", NAME), boss.read("explain"), boss.read("doctor")):
        content = page[page.index('id="content"') :]
        assert "<script" not in content
        assert "<style" not in page
        assert " style=" not in page
        assert " onclick" not in page


def test_notices_are_told(boss):
    """A store that has failed, and one record that cannot be read."""
    UseCaseOverride.objects.create(use_case=NAME, more={"ramp_remote": "nonsense"})
    cache.control.refresh()
    text = boss.read()
    assert "is damaged and passed over" in text
    assert "Its override is damaged." in text


def test_all_words_of_the_core_are_translated():
    """Notices, actions and labels of the core, and every text of the page, in German."""
    core = {value for name, value in vars(notices).items() if name.isupper()}
    core = {text for text in core if isinstance(text, str)}
    core |= {action.label for action in ACTIONS.values()} | {PLOT_LABEL}
    assert core == set(OF_THE_CORE)
    with translation.override("de"):
        untranslated = {text for text in core if translation.gettext(text) == text}
    assert not untranslated


def test_the_german_words_are_compiled_as_they_are_written():
    """Each text has one, and what is shipped for machines is what stands in the file for people."""
    folder = Path(django_ext.__file__).parent / "locale" / "de" / "LC_MESSAGES"
    written = re.findall(
        r'^msg(?:str|str\[0\]) "(.*)"$', (folder / "django.po").read_text(), re.MULTILINE
    )
    with (folder / "django.mo").open("rb") as file:
        compiled = set(gettext.GNUTranslations(file)._catalog.values())
    assert len(written) > 150
    assert all(written[1:])
    assert {text.replace('\\"', '"') for text in written[1:]} <= compiled


def test_it_speaks_german(boss):
    """Title, states and what comes from the core."""
    with override_settings(LANGUAGE_CODE="de", USE_I18N=True):
        text = boss.read()
    assert "Anwendungsfälle des Caches" in text
    assert "Alles abschalten" in text


def test_text_of_people_is_escaped(boss):
    """A reason is text, whatever stands in it."""
    boss.save(ramp_local="5", why="<b>&bold")
    assert "&lt;b&gt;&amp;bold" in boss.read()
    assert "&lt;b&gt;&amp;bold" in boss.read("change", NAME)


def test_plots_take_their_label_escaped():
    """A translator's quotation mark ends no attribute."""
    from django.utils.html import escape

    assert 'aria-label="&quot;"' in plot.plot((), escape('"'))
