"""Fragments of templates: what they are kept under, what they follow, and what is not kept."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from flask import Flask, render_template_string, session
from flask.sessions import SecureCookieSessionInterface
from jinja2 import DictLoader, Environment, TemplateSyntaxError
from jinja2.ext import Extension

from cache_core import DeclarationError
from cache_core.testing import FakeClock, FakeStore
from flask_ext import CacheCore
from flask_ext.fragments import CachedTag


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def cache(clock):
    return CacheCore({"DEFAULT": {"TTL": 60}}, clock=clock)


@pytest.fixture
def app(cache):
    app = Flask("shop")
    app.config.update(TESTING=True, SECRET_KEY="only for tests")
    cache.init_app(app)
    return app


@pytest.fixture
def render(app):
    """Renders a template in a request; ``run()`` in it counts how often that part was rendered."""
    runs = Counter()
    given = {}

    def run(name="run"):
        runs[name] += 1
        return f"{name} {runs[name]}"

    @app.get("/")
    def page():
        return render_template_string(given["source"], run=run, **given["context"])

    def render(source, **context):
        given.update(source=source, context=context)
        return app.test_client().get("/").text

    render.runs = runs
    return render


CARD = '{% cached "Card", lang %}{{ run() }} {{ lang }}{% endcached %}'


def test_a_fragment_is_rendered_once(render):
    """What stands around it is rendered each time."""
    source = f"{{{{ run('page') }}}}: {CARD}"
    assert render(source, lang="en") == "page 1: run 1 en"
    assert render(source, lang="en") == "page 2: run 1 en"


def test_what_follows_the_name_is_part_of_the_key(render):
    """Another value is another fragment; no two lists of values are taken for one."""
    assert render(CARD, lang="en") == "run 1 en"
    assert render(CARD, lang="de") == "run 2 de"
    two = '{% cached "Two", a, b %}{{ run() }}{% endcached %}'
    assert render(two, a="x_y", b="z") == "run 3"
    assert render(two, a="x", b="y_z") == "run 4"


@pytest.fixture
def keep(clock, render):
    """Renders what follows something until it is kept, and returns that text."""

    def keep(source, **context):
        render(source, **context)  # gives what it follows its first version
        clock.advance(1)
        text = render(source, **context)
        assert render(source, **context) == text
        return text

    return keep


def test_a_fragment_follows_its_entity(app, cache, render, keep):
    """depends_on= takes a pair; another entity is left alone."""
    source = '{% cached "Card", depends_on=("user_id", id) %}{{ run() }}{% endcached %}'
    before = [keep(source, id=each) for each in (7, 8)]
    cache.for_app(app).invalidate("user_id", 7)
    assert render(source, id=7) not in before
    assert render(source, id=8) == before[1]


def test_what_the_view_read_before_a_write_is_not_kept(app, cache, clock):
    """The text is old when a write comes in between, and its versions are new."""
    row = {"name": "Ada"}
    between = [lambda: None]

    @app.get("/")
    def page():
        name = row["name"]
        between[0]()
        source = '{% cached "Card", depends_on=("user_id", 7) %}{{ name }}{% endcached %}'
        return render_template_string(source, name=name)

    def get():
        clock.advance(1)
        return app.test_client().get("/").text

    def change():
        row["name"] = "Grace"
        thread = threading.Thread(target=cache.for_app(app).invalidate, args=("user_id", 7))
        thread.start()
        thread.join()

    assert [get(), get(), get()] == ["Ada"] * 3
    cache.for_app(app).invalidate("user_id", 7)
    between[0] = change
    assert get() == "Ada"
    between[0] = lambda: None
    assert get() == "Grace"


@pytest.mark.parametrize(
    "depends_on", ["[('a', 1), ('user_id', 7)]", "(('a', 1), ('user_id', 7))", "'user_id'"]
)
def test_a_fragment_follows_several_entities(app, cache, render, keep, depends_on):
    """A list or tuple of pairs, or a key type for any entity of it."""
    source = f'{{% cached "Card", depends_on={depends_on} %}}{{{{ run() }}}}{{% endcached %}}'
    before = keep(source)
    cache.for_app(app).invalidate("user_id", 7)
    assert render(source) != before


@pytest.mark.parametrize("tags", ["'menu'", "['other', 'menu']"])
def test_a_fragment_has_tags(app, cache, render, keep, tags):
    """One or several."""
    source = f'{{% cached "Card", tags={tags} %}}{{{{ run() }}}}{{% endcached %}}'
    before = keep(source)
    cache.for_app(app).invalidate_tags("menu")
    assert render(source) != before


def test_a_fragment_follows_what_it_calls(app, cache, render):
    """Cached functions that are called in it need not be named."""
    rows = {7: "Ada"}

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get_user(user_id):
        return rows[user_id]

    source = '{% cached "Card" %}{{ get_user(7) }}{% endcached %}'
    assert render(source, get_user=get_user) == "Ada"
    rows[7] = "Grace"
    cache.for_app(app).invalidate("user_id", 7)
    assert render(source, get_user=get_user) == "Grace"


def test_a_fragment_ends_with_its_ttl(clock, render):
    """ttl= in the tag, as in a declaration."""
    source = '{% cached "Card", ttl="5s" %}{{ run() }}{% endcached %}'
    render(source)
    clock.advance(4)
    assert render(source) == "run 1"
    clock.advance(2)
    assert render(source) == "run 2"


@pytest.mark.parametrize("secret", [None, "only for tests"])
def test_a_fragment_is_shared_by_processes(clock, secret):
    """It goes through a store as any value does, signed pickle or JSON."""
    store = FakeStore(clock)

    def process(run):
        cache = CacheCore({"DEFAULT": {"TTL": 60}, "REMOTE": store}, clock=clock)
        app = Flask("shop")
        app.secret_key = secret
        app.jinja_options = {"autoescape": True}
        cache.init_app(app)
        with app.app_context(), cache.enable():
            return app.jinja_env.from_string(CARD).render(run=lambda: run, lang="<en>")

    assert [process("first"), process("second")] == ["first &lt;en&gt;"] * 2


def test_fragments_of_one_name_with_different_texts_are_kept_apart(render):
    """As in two templates, or before and after a deploy."""
    assert render('{% cached "Card" %}a {{ run() }}{% endcached %}') == "a run 1"
    assert render('{% cached "Card" %}b {{ run() }}{% endcached %}') == "b run 2"


def test_one_name_has_one_ttl(render):
    """It is one use case."""
    render('{% cached "Card", ttl=5 %}{% endcached %}')
    with pytest.raises(DeclarationError, match="ttl=5"):
        render('{% cached "Card", ttl=6 %}{% endcached %}')


def test_a_fragment_is_inside_of_a_fragment(app, cache, render):
    """The outer one follows what the inner one depends on."""
    source = (
        '{% cached "Outer" %}{{ run("outer") }} '
        '{% cached "Inner", tags="inner" %}{{ run("inner") }}{% endcached %}{% endcached %}'
    )
    assert render(source) == render(source) == "outer 1 inner 1"
    cache.for_app(app).invalidate_tags("inner")
    assert render(source) == "outer 2 inner 2"


def test_loop_variables_are_seen(render):
    """A fragment is a part of its template."""
    source = "{% for n in [1, 2, 1] %}{% cached 'Row', n %}{{ run() }}/{{ n }} {% endcached %}{% endfor %}"
    assert render(source) == "run 1/1 run 2/2 run 1/1 "


def test_values_are_escaped_once(app, cache):
    """What was escaped when it was rendered is not escaped again when it is served."""
    app.jinja_env.loader = DictLoader(
        {"page.html": '{% cached "Card", name %}<b>{{ name }}</b>{% endcached %}'}
    )
    template = app.jinja_env.get_template("page.html")
    with app.app_context(), cache.enable():
        texts = [template.render(name="<i>") for _ in range(2)]
    assert texts == ["<b>&lt;i&gt;</b>"] * 2


@pytest.mark.parametrize("is_accessed_before", [False, True])
def test_a_fragment_that_looks_at_the_session_is_not_kept(app, cache, render, is_accessed_before):
    """It is for one user; the page around it may have looked at the session all the same."""
    app.before_request(lambda: session.get("user") if is_accessed_before else None)
    source = '{% cached "Card" %}{{ session.get("user") }} {{ run() }}{% endcached %}'
    render(source)
    assert render(source) == "None run 2"
    assert cache.for_app(app).stats()["pages"]["Card"]["refused"] == {"session": 2}


def test_a_session_that_was_looked_at_before_does_not_count(app, render):
    """And is still known to be accessed afterwards, so that the response says so."""
    told = []
    app.before_request(lambda: session.get("user"))
    app.session_interface = Interface(told)
    assert render(CARD, lang="en") == render(CARD, lang="en") == "run 1 en"
    assert told == ["Cookie", "Cookie"]


class Interface(SecureCookieSessionInterface):
    """Notes what responses say of the session."""

    def __init__(self, told):
        self.told = told

    def save_session(self, app, session, response):
        super().save_session(app, session, response)
        self.told.append(response.headers.get("Vary"))


def test_an_error_in_a_fragment_is_the_templates(render):
    """It reaches the view, and nothing is kept."""
    source = '{% cached "Card" %}{{ 1 // zero }}{{ run() }}{% endcached %}'
    with pytest.raises(ZeroDivisionError):
        render(source, zero=0)
    assert render(source, zero=1) == "1run 1"


def test_a_value_that_makes_no_key_is_rendered_each_time(render):
    """As arguments of any cached function."""
    source = '{% cached "Card", thing %}{{ run() }}{% endcached %}'
    assert [render(source, thing=object()) for _ in range(2)] == ["run 1", "run 2"]


def test_a_fragment_without_an_app_is_rendered(cache, app):
    """A template may be used outside of every app."""
    template = app.jinja_env.from_string('{% cached "Card" %}text{% endcached %}')
    assert template.render() == "text"


def test_fragments_use_the_default_cache(app, cache):
    """Of several caches of an app, that one; of a single one with a name, it."""
    CacheCore(name="another").init_app(app)
    template = app.jinja_env.from_string('{% cached "Card" %}text{% endcached %}')
    with app.app_context():
        template.render()
    assert [use_case.name for use_case in cache.use_cases()] == ["Card"]
    named, single = CacheCore(name="reports"), Flask("single")
    named.init_app(single)
    with single.app_context():
        single.jinja_env.from_string('{% cached "Card" %}text{% endcached %}').render()
    assert [use_case.name for use_case in named.use_cases()] == ["Card"]


def test_threads_declare_a_fragment_once(app, cache):
    """The first requests of a process come at once."""
    barrier, errors = threading.Barrier(8), []
    template = app.jinja_env.from_string('{% cached "Card" %}text{% endcached %}')

    def work():
        barrier.wait()
        try:
            with app.app_context():
                template.render()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% cached name %}{% endcached %}", "string"),
        ('{% cached "Card", tll=5 %}{% endcached %}', "'tll'"),
        ('{% cached "Card" %}', "endcached"),
    ],
)
def test_a_wrong_tag_is_a_syntax_error(app, source, message):
    """When the template is compiled, with what is allowed."""
    with pytest.raises(TemplateSyntaxError, match=message):
        app.jinja_env.from_string(source)


def test_an_async_environment_is_refused():
    """Rendering would have to be awaited inside of the cache."""
    environment = Environment(enable_async=True, extensions=[CachedTag], autoescape=True)
    with pytest.raises(TemplateSyntaxError, match="enable_async"):
        environment.from_string(CARD)


class OtherTag(Extension):
    """As Flask-Caching's: the tag is called cache."""

    tags = {"cache"}  # noqa: RUF012

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(("name:endcache",), drop_needle=True)


def test_the_tag_lives_beside_that_of_flask_caching(app, render):
    """One template may have both."""
    app.jinja_env.add_extension(OtherTag)
    source = '{% cache %}{{ run() }}{% endcache %} {% cached "Card" %}{{ run() }}{% endcached %}'
    assert render(source) == "run 1 run 2"
    assert render(source) == "run 3 run 2"


def test_init_app_does_not_make_the_environment(cache):
    """Options of Jinja can be set after it; those that are there already stay."""
    app = Flask("shop")
    app.jinja_options = {"extensions": [OtherTag], "trim_blocks": True}
    cache.init_app(app)
    assert "jinja_env" not in vars(app)
    assert "jinja_options" not in vars(Flask) or CachedTag not in Flask.jinja_options.values()
    assert app.jinja_env.trim_blocks
    assert {OtherTag.identifier, CachedTag.identifier} <= app.jinja_env.extensions.keys()


def test_init_app_adds_the_tag_to_an_environment_that_is_there(cache):
    """As after a template filter was registered."""
    app = Flask("shop")
    app.add_template_filter(str.upper, "shout")
    cache.init_app(app)
    app.jinja_env.from_string(CARD)
