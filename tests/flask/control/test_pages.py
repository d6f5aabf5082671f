"""What the pages show, and how they are made."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from flask import Flask

from cache_core.events import Layer
from flask_ext import CacheCore

PAGES = (
    ("/", {}),
    ("/use-case", {"name": "GetUser"}),
    ("/use-case", {"name": "Nobody"}),
    ("/everything", {}),
    ("/invalidate", {}),
    ("/explain", {"name": "GetUser", "arguments": "7"}),
    ("/doctor", {}),
)
VOID = {"meta", "link", "input", "br", "rect"}


class Document(HTMLParser):
    """Reads a page, and notes every element; raises where one is closed that is not open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def all(self, *tags):
        return [attrs for tag, attrs in self.elements if tag in tags]


@pytest.fixture
def documents(visitor, control):
    """Every page of the app, with something to show on it."""
    control.ramp("GetUser", 25.5, by="bob", why="<b>slow</b>", expires="2h")
    control.schedule("GetUser", [("1h", {"ramp": 50})])
    pages = [visitor.get(path, **query).text for path, query in PAGES]
    pages.append(visitor.submit("/several", "/", action="reset", use_case="GetUser").text)
    pages.append(visitor.submit("/invalidate", key_type="user_id", ids="7").text)
    return [Document(text) for text in pages]


def test_every_element_is_closed_and_no_id_comes_twice(documents):
    """Browsers guess; screen readers are worse at it."""
    for document in documents:
        ids = [attrs["id"] for _, attrs in document.elements if "id" in attrs]
        assert len(ids) == len(set(ids))


def test_every_field_has_a_label(documents):
    """And what describes it is there."""
    for document in documents:
        labelled = {attrs.get("for") for attrs in document.all("label")}
        ids = {attrs.get("id") for _, attrs in document.elements}
        for field in document.all("input", "select", "textarea"):
            if field.get("type") != "hidden":
                assert field["id"] in labelled or field.get("aria-label")
                assert set(field.get("aria-describedby", "").split()) <= ids


def test_every_table_has_a_caption_and_its_heads_a_scope(documents):
    """So that one who hears it knows where one is."""
    for document in documents:
        assert len(document.all("table")) == len(document.all("caption"))
        assert all("scope" in attrs for attrs in document.all("th"))


def test_headings_are_in_order(documents):
    """One of the first rank, and no rank is left out."""
    for document in documents:
        ranks = [int(tag[1]) for tag, _ in document.elements if re.fullmatch("h[1-6]", tag)]
        assert ranks[0] == 1 and ranks.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(ranks))


def test_nothing_on_a_page_breaks_its_own_policy(documents):
    """No script, no style of an element, no handler, and nothing from elsewhere."""
    for document in documents:
        assert document.all("script", "style", "img", "iframe") == []
        for _, attrs in document.elements:
            assert not [name for name in attrs if name == "style" or name.startswith("on")]
            assert not str(attrs.get("href", "/")).startswith(("http", "//", "javascript"))
        assert [attrs["lang"] for attrs in document.all("html")] == ["en"]


@pytest.mark.parametrize(("path", "query"), [*PAGES, ("/overview.json", {}), ("/control.css", {})])
def test_every_answer_has_the_strict_headers(visitor, path, query):
    """Nothing is loaded from elsewhere, nothing is framed, nothing is kept."""
    headers = visitor.get(path, **query).headers
    assert headers["Content-Security-Policy"] == (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    )
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Frame-Options"] == "DENY"


def test_refusals_and_redirects_have_them_too(visitor, may):
    """Also what nobody was meant to see."""
    done = visitor.submit("/everything", do="off")
    may["view"] = False
    for answer in (done, visitor.get(), visitor.post("/everything")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_names_and_notes_are_data(cache, make_app, visit):
    """What looks like HTML in a name, a note or a search is shown as it is."""

    @cache.cached(use_case="<script>alert(1)</script> & /?#%")
    def odd(name):
        return name

    name = "<script>alert(1)</script> & /?#%"
    visitor = visit(make_app())
    visitor.submit(
        "/use-case",
        "/use-case",
        {"name": name},
        name=name,
        ramp_local="5",
        why="<img src=x onerror=alert(1)>",
    )
    for page in (visitor.get(), visitor.get("/use-case", name=name), visitor.get(q="<script>")):
        assert page.status_code == 200
        assert "<script" not in page.text and "<img" not in page.text
    assert "&lt;script&gt;" in visitor.get("/use-case", name=name).text


def test_the_overview_shows_what_holds_and_how_it_goes(visitor, control):
    """Ramps with what they would be, who has set them, requests and hits, a picture."""
    for _ in range(4):
        visitor.client.get("/user/7")
    control.ramp("GetUser", remote=25, by="bob", why="first users")
    text = visitor.get().text
    assert "25 %<br><small>60 s</small><br><small>else 100 %</small>" in text
    assert "bob, " in text and "first users" in text
    assert "75 %" in text and "partly on" in text
    assert '<rect class="cc-hits"' in text
    assert "1 process" in text


def test_shadow_reads_and_advice_are_shown(app, visitor, cache):
    """How often the cache was right, and what the figures suggest."""
    tally = cache.for_app(app).runtime.tally("GetUser")
    tally.checks.match(Layer.LOCAL)
    tally.loads = 500
    for path, query in PAGES[:2]:
        assert "100 % right" in visitor.get(path, **query).text
    assert 'class="cc-advice"' in visitor.get("/use-case", name="GetUser").text


def test_the_overview_can_be_searched_and_turned(make_app, cache, visit):
    """Two hundred use cases on a page, and a filter by name, key type and note."""
    for number in range(205):
        cache.cached(use_case=f"Number{number:03}")(lambda x: x)
    visitor = visit(make_app())
    first, second = visitor.get(), visitor.get(page=2)
    assert "page 1 of 2" in first.text and 'rel="next"' in first.text
    assert "page 2 of 2" in second.text and "Number204" in second.text
    assert "Number204" not in first.text
    found = visitor.get(q="USER_ID").text
    assert "GetUser" in found and "GetPage" not in found
    assert visitor.get(page="x").status_code == 200
    assert "There is none." in visitor.get(q="nothing like that").text


def test_the_same_for_scripts(visitor, control, cache):
    """Plain data with figures and what was set; never a cached value."""
    visitor.client.get("/user/7")
    visitor.client.get("/user/7")
    control.ramp("GetUser", 25, by="bob")
    answer = visitor.get("/overview.json", q="GetUser")
    assert answer.content_type == "application/json"
    (one,) = answer.json["use_cases"]
    assert (one["name"], one["key_type"], one["state"]) == ("GetUser", "user_id", "partly")
    assert one["layers"]["remote"]["ramp"] == 25 and one["override"]["by"] == "bob"
    assert (one["requests"], one["hits"], one["hit_ratio"]) == (2, 1, 0.5)
    assert "value of 7" not in answer.text


def test_a_call_is_explained(visitor):
    """Before and after it was made; nothing of its value is shown."""
    query = {"name": "GetUser", "arguments": "user_id=7"}
    assert "The next read is a miss" in visitor.get("/explain", **query).text
    visitor.client.get("/user/7")
    said = visitor.get("/explain", **query).text
    assert "The next read is a hit" in said and "value of 7" not in said


def test_who_filled_an_entry_is_told(visitor, monkeypatch):
    """The process that answers, or what the store says, which is not believed to be harmless."""
    visitor.client.get("/user/7")
    query = {"name": "GetUser", "arguments": "user_id=7"}
    assert "<td>this process</td>" in visitor.get("/explain", **query).text
    monkeypatch.setattr("cache_core.explain._filler", lambda call, entry: "<b>7</b>")
    assert "<td>&lt;b&gt;7&lt;/b&gt;</td>" in visitor.get("/explain", **query).text


@pytest.mark.parametrize(
    "query",
    [{"name": "Nobody"}, {"name": "GetUser", "arguments": "1\n2\n3"}, {"name": "GetUser"}],
)
def test_a_call_that_cannot_be_explained_is_told(visitor, query):
    """A use case that is none, too many arguments, too few."""
    answer = visitor.get("/explain", **query)
    assert answer.status_code == 200 and 'role="alert"' in answer.text


def test_what_an_id_makes_of_odd_arguments_is_told(make_app, cache, visit):
    """The app's own callables may raise whatever they like."""

    @cache.cached(key_type="row", id_arg=("row", lambda row: row.id), use_case="GetRow")
    def get_row(row):
        return row

    answer = visit(make_app()).get("/explain", name="GetRow", arguments="7")
    assert answer.status_code == 200 and "AttributeError" in answer.text


def test_the_doctor_is_in(visitor):
    """Its findings, with what to do about them."""
    text = visitor.get("/doctor").text
    assert "store.none" in text and "Set redis or memcached" in text


def test_other_words(make_app, visit):
    """Texts of templates, buttons and notices go through ``translate``."""
    words = {
        "Use cases": "Anwendungsfälle",
        "%(found)s use cases": "%(found)s Anwendungsfälle",
        "Switch off": "Abschalten",
        "Cache %(namespace)s": "Zwischenspeicher %(nmespace)s",
    }
    text = visit(make_app(translate=lambda text: words.get(text, text))).get().text
    assert "<h1>Anwendungsfälle</h1>" in text and "3 Anwendungsfälle" in text
    assert ">Abschalten</option>" in text
    assert "· Cache app</title>" in text  # a slip in a translation shows the English


def test_a_template_of_the_app_wins(make_app, visit, tmp_path):
    """``templates/cache_core/control/`` of the app takes the place of ours."""
    folder = tmp_path / "templates" / "cache_core" / "control"
    folder.mkdir(parents=True)
    (folder / "footer.html").write_text("<p>Ask the team of the shop.</p>")
    app = make_app(app=Flask("shop", root_path=str(tmp_path)))
    assert "Ask the team of the shop." in visit(app).get().text


def test_several_caches_have_a_page_each(visit):
    """Side by side in one app, each with its own use cases."""
    app = Flask("shop")
    app.config.update(TESTING=True, SECRET_KEY="only for tests")
    for name in ("default", "reports"):
        cache = CacheCore({"DEFAULT": {"TTL": 60}}, name=name)
        cache.cached(use_case=f"Of_{name}")(lambda x: x)
        cache.init_app(app)
        cache.register_control(app, may_view=lambda: True, may_change=lambda: True)
    assert "Of_default" in visit(app).get().text
    text = visit(app, "/_cache-reports").get().text
    assert "Of_reports" in text and "Of_default" not in text and "/_cache/" not in text


def test_one_declaration_has_a_page_in_each_app(make_app, visit):
    """What is set in one app does not hold in the other."""
    one, other = make_app(app=Flask("one")), make_app(app=Flask("other"))
    visit(one).submit("/everything", do="off")
    assert "Everything is switched off" in visit(one).get().text
    assert "Everything is switched off" not in visit(other).get().text
