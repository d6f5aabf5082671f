"""The tag ``cached``: a fragment is a use case, and its entry follows entities."""

from __future__ import annotations

import threading
import time
from itertools import count

import pytest
from django.http import HttpResponse
from django.template import Context, Engine, TemplateSyntaxError, engines
from django.test import RequestFactory, override_settings
from django.utils import timezone, translation
from django.utils.safestring import SafeString

from cache_core.testing import FakeStore
from django_ext import cache
from django_ext.middleware import CacheScopeMiddleware
from django_ext.templatetags import cache_core as fragments
from django_ext.templatetags.cache_core import RenderedElsewhere, Rendering
from tests.django.library.models import Author
from tests.integration.row import until
from tests.protocol.worlds import RealClock

numbers = count()


@pytest.fixture
def name():
    """A name for a fragment of this test alone."""
    return f"fragment-{next(numbers)}"


class Renders:
    """A variable of a template that counts how often it is looked at."""

    def __init__(self):
        self.number = 0

    def __str__(self):
        self.number += 1
        return f"<{self.number}>"


def compiled(tag, body="{{ seen }}"):
    return engines["django"].from_string(f"{{% load cache_core %}}{tag}{body}{{% endcached %}}")


def render(template, **context):
    """What the template gives in a request of its own."""
    with cache.scope():
        return template.render(context)


@pytest.fixture
def seen():
    return Renders()


@pytest.fixture(autouse=True)
def _nothing_read_before(request, monkeypatch):
    """Requests have read nothing before the fragment, so that its first text is kept."""
    if "requests_that_read" not in request.fixturenames:
        monkeypatch.setattr(fragments, "_began", lambda: None)


@pytest.fixture
def requests_that_read():
    """Requests may have read the variables of the fragment before, as they do in a project."""


def test_a_fragment_is_rendered_once(name, seen):
    """The second request gets the text of the first one, from the entry."""
    template = compiled(f'{{% cached 300 "{name}" %}}')
    assert render(template, seen=seen) == render(template, seen=seen) == "&lt;1&gt;"
    assert cache.stats()["use_cases"][name]["loads"] == 1


def test_without_caching_it_is_rendered_each_time(name, seen):
    """Where caching is off the fragment is what stands in the template."""
    template = compiled(f'{{% cached 300 "{name}" %}}')
    assert [template.render({"seen": seen}) for _ in range(2)] == ["&lt;1&gt;", "&lt;2&gt;"]


def test_a_fragment_follows_its_entity(name, seen):
    """It is rendered anew when its entity is invalidated, and no other one is."""
    template = compiled(f'{{% cached 300 "{name}" user_id=id %}}', "{{ id }}{{ seen }}")
    for each in (1, 2):
        render(template, seen=seen, id=each)
    cache.invalidate("user_id", 1)
    assert render(template, seen=seen, id=1) == "1&lt;3&gt;"
    assert render(template, seen=seen, id=2) == "2&lt;2&gt;"


def test_each_further_entity_has_an_entry_of_its_own(name, seen):
    """As the first one has."""
    template = compiled(f"{{% cached 300 {name} user_id=1 post=post %}}")
    texts = [render(template, seen=seen, post=post) for post in (1, 2, 1)]
    assert texts == ["&lt;1&gt;", "&lt;2&gt;", "&lt;1&gt;"]


def test_a_saved_row_renders_it_anew(name, seen):
    """A model that is tracked does it, and its instance may stand for its key."""
    template = compiled(f'{{% cached 300 "{name}" author_id=author %}}', "{{ author.name }}")
    author = Author.objects.create(name="Ada")
    assert render(template, author=author) == "Ada"
    author.name = "Lovelace"
    assert render(template, author=author) == "Ada"
    author.save()
    assert render(template, author=author) == "Lovelace"


@pytest.mark.usefixtures("requests_that_read")
@pytest.mark.parametrize("is_shared", [False, True], ids=["memory", "store"])
def test_what_the_view_read_before_a_write_is_not_kept(name, is_shared, elsewhere):
    """The text is old when a write comes in between, and its versions are new."""
    store = FakeStore(RealClock(cache.clock)) if is_shared else None
    template = compiled(f"{{% cached 300 {name} author_id=author %}}", "{{ author.name }}")
    with override_settings(CACHE_CORE={} if store is None else {"REMOTE": store}):
        pk = Author.objects.create(name="Ada").pk

        def page(between=lambda: None):
            with cache.scope():
                author = Author.objects.get(pk=pk)
                between()
                return template.render({"author": author})

        def change():
            Author.objects.filter(pk=pk).update(name="Grace")

        assert page(lambda: elsewhere(change)) == "Ada"
        assert page() == "Grace"


@pytest.mark.usefixtures("requests_that_read")
def test_a_fragment_is_kept_from_its_second_request_on(name, seen):
    """The first one has given its entity a version, which is younger than what the view read."""
    template = compiled(f"{{% cached 300 {name} user_id=1 %}}")

    def is_hit():
        before = seen.number
        render(template, seen=seen)
        return seen.number == before

    assert not is_hit()
    until(is_hit)  # the clock of a version shows milliseconds


@pytest.mark.parametrize("body", ["{% include form %}", "{{ csrf_token }}"])
def test_a_token_of_a_visitor_is_shown_to_nobody_else(name, body, caplog):
    """Also when it comes from an included template; then the fragment is not cached."""
    form = engines["django"].from_string("<form>{% csrf_token %}</form>")
    template = compiled(f"{{% cached 300 {name} %}}", body)
    for token in ("first", "second", "third"):
        text = render(template, form=form.template, csrf_token=token)
        assert text.count(token) == 1
    assert caplog.text.count("shows a CSRF token") == 1


def test_a_fragment_beside_a_form_is_cached(name, seen):
    """A token that is there and not shown harms nobody."""
    template = compiled(f"{{% cached 300 {name} %}}")
    texts = [render(template, seen=seen, csrf_token=token) for token in ("first", "second")]
    assert texts == ["&lt;1&gt;", "&lt;1&gt;"]


@pytest.mark.parametrize(
    ("tag", "invalidate"),
    [
        ("user_id=1 post=2", lambda: cache.invalidate("post", 2)),
        ("user_id=1 user_id=2", lambda: cache.invalidate("user_id", 2)),
        ("depends_on='category post'", lambda: cache.invalidate("category", 7)),
        ("tags='menu other'", lambda: cache.invalidate_tags("menu")),
        ("tags=names", lambda: cache.invalidate_tags("two words")),
        ("", cache.flush),
    ],
)
def test_a_fragment_follows_more_than_its_entity(name, seen, tag, invalidate):
    """Other entities, any entity of a type, tags and everything invalidate it, too."""
    template = compiled(f"{{% cached 300 {name} {tag} %}}")
    context = {"seen": seen, "names": ["two words"]}
    assert render(template, **context) == render(template, **context) == "&lt;1&gt;"
    invalidate()
    assert render(template, **context) == "&lt;2&gt;"


def test_a_fragment_follows_what_it_calls(name, seen):
    """The entities of cached functions that are called while it is rendered are its own, too."""

    @cache.cached(key_type="inner_id", id_arg="id", use_case=f"{name}-inner", ttl=300)
    def inner(id):
        return "inner"

    template = compiled(f"{{% cached 300 {name} %}}", "{{ call }}{{ seen }}")
    context = {"call": lambda: inner(5), "seen": seen}
    assert render(template, **context) == render(template, **context) == "inner&lt;1&gt;"
    cache.invalidate("inner_id", 5)
    assert render(template, **context) == "inner&lt;2&gt;"


@pytest.mark.parametrize(
    "pair", [("a", "b"), (1, "1"), (None, ""), (translation.gettext_lazy("Yes"), "No"), (True, 1)]
)
def test_a_fragment_varies_on_values(name, seen, pair):
    """Each value has an entry of its own; their types count."""
    template = compiled(f"{{% cached 300 {name} value %}}")
    texts = [render(template, seen=seen, value=value) for value in (*pair, *pair)]
    assert texts == ["&lt;1&gt;", "&lt;2&gt;"] * 2


def test_a_fragment_varies_on_rows(name, seen):
    """An instance of a model stands for its row, whatever its fields are."""
    template = compiled(f"{{% cached 300 {name} author %}}")
    for author in (Author(pk=1, name="a"), Author(pk=2, name="a"), Author(pk=1, name="b")):
        text = render(template, seen=seen, author=author)
    assert text == "&lt;1&gt;"


def test_a_value_without_a_text_is_not_cached(name, seen):
    """What no key can be built from renders uncached, and is counted."""
    template = compiled(f"{{% cached 300 {name} value %}}")
    for _ in range(2):
        text = render(template, seen=seen, value=object())
    assert text == "&lt;2&gt;"
    assert cache.stats()["use_cases"][name]["bypasses"]["all"]["unkeyable"] == 2


@pytest.mark.parametrize("tag", ["user_id=user.pk", "post=1 user_id=user.pk"])
@pytest.mark.parametrize("user", [{"pk": None}, {"pk": ""}, {}, None])
def test_nobody_is_no_entity(name, seen, user, tag):
    """Without an id, as for anonymous users, the fragment is rendered uncached: it is nobody else's."""
    template = compiled(f"{{% cached 300 {name} {tag} %}}")
    for _ in range(2):
        text = render(template, seen=seen, user=user)
    assert text == "&lt;2&gt;"


def test_a_misspelt_id_is_nobody(name):
    """Whatever the project has templates show for a variable that is not there, it is no id."""
    engine = files(
        string_if_invalid="?",
        one=f"{{% cached 300 {name} user_id=usr.pk %}}{{{{ user }}}}{{% endcached %}}",
    )
    with cache.scope():
        texts = [engine.get_template("one").render(Context({"user": user})) for user in "ab"]
    assert texts == ["a", "b"]


def test_the_text_is_safe_and_escaped_once(name):
    """What the fragment has escaped stays so, and is no text to escape again."""
    body = "<b>{{ value }}</b>"
    template = compiled(f"{{% cached 300 {name} %}}", body)
    for _ in range(2):
        text = render(template, value="<i>")
        assert text == "<b>&lt;i&gt;</b>"
        assert isinstance(text, SafeString)


def test_escaping_is_part_of_the_key(name):
    """A text that was made without escaping is not served where it is on."""
    tag = f"{{% cached 300 {name} %}}{{{{ value }}}}{{% endcached %}}"
    on, off = "{% load cache_core %}" + tag, "{% load cache_core %}{% autoescape off %}" + tag
    engine = engines["django"]
    texts = [
        render(engine.from_string(source), value="<i>")
        for source in (off + "{% endautoescape %}", on)
    ]
    assert texts == ["<i>", "&lt;i&gt;"]


def test_language_and_time_zone_are_part_of_the_key(name, seen):
    """Readers of another language or time zone get a text of their own."""
    template = compiled(f"{{% cached 300 {name} %}}")
    texts = []
    for language, zone in (("en", "UTC"), ("de", "UTC"), ("de", "Europe/Rome"), ("en", "UTC")):
        with translation.override(language), timezone.override(zone):
            texts.append(render(template, seen=seen))
    assert texts == ["&lt;1&gt;", "&lt;2&gt;", "&lt;3&gt;", "&lt;1&gt;"]


def test_a_changed_template_has_new_entries(name, seen):
    """After a deployment nobody gets what the template of before has rendered."""
    tag = f"{{% cached 300 {name} %}}"
    assert render(compiled(tag, "{{ seen }}"), seen=seen) == "&lt;1&gt;"
    assert render(compiled(tag, "{{ seen }}!"), seen=seen) == "&lt;2&gt;!"
    assert render(compiled(tag, "{{ seen }}"), seen=seen) == "&lt;1&gt;"


def test_fragments_nest(name, seen):
    """The outer one is invalidated together with the inner one."""
    inner = f"{{% cached 300 {name}-inner user_id=1 %}}{{{{ seen }}}}{{% endcached %}}"
    template = compiled(f"{{% cached 300 {name} post=2 %}}", f"outer {inner} end")
    assert render(template, seen=seen) == render(template, seen=seen) == "outer &lt;1&gt; end"
    cache.invalidate("user_id", 1)
    assert render(template, seen=seen) == "outer &lt;2&gt; end"


def test_a_fragment_in_a_loop_has_an_entry_for_each_turn(name):
    """The id is that of the turn."""
    source = (
        "{% load cache_core %}{% for id in ids %}"
        f"{{% cached 300 {name} post=id %}}{{{{ id }}}};{{% endcached %}}"
        "{% endfor %}"
    )
    template = engines["django"].from_string(source)
    assert [render(template, ids=ids) for ids in ([1, 2], [2, 3])] == ["1;2;", "2;3;"]
    assert cache.stats()["use_cases"][name]["loads"] == 3


def test_a_kill_switch_turns_it_off(name, seen):
    """A fragment is a use case like any other, so its policy can be overruled."""
    template = compiled(f"{{% cached 300 {name} %}}")
    with override_settings(CACHE_CORE={"USE_CASES": {name: {"ENABLED": False}}}):
        assert [render(template, seen=seen) for _ in range(2)] == ["&lt;1&gt;", "&lt;2&gt;"]


def test_the_time_to_live_may_be_text(name):
    """It is what a policy takes, and it is the tier of the code."""
    compiled(f'{{% cached "5m" {name} %}}')
    assert cache.policy(name).local.ttl == 300


def test_many_readers_render_it_once(name):
    """Who asks while it is being rendered waits for that text."""
    entered, go, rendered = threading.Event(), threading.Event(), []

    def slow():
        rendered.append(1)
        entered.set()
        assert go.wait(10)
        return "text"

    template, texts = compiled(f"{{% cached 300 {name} %}}", "{{ slow }}"), []
    threads = [
        threading.Thread(target=lambda: texts.append(render(template, slow=slow))) for _ in range(3)
    ]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    (flight,) = cache.runtime.flights._flights.values()
    while flight.passengers < 2:
        time.sleep(0.001)
    go.set()
    for thread in threads:
        thread.join(10)
    assert texts == ["text"] * 3
    assert len(rendered) == 1


def test_it_is_rendered_in_its_page_only(name):
    """Where a policy wants it loaded in the background the page renders it itself."""
    template, threads = compiled(f"{{% cached 300 {name} %}}", "{{ thread }}"), []

    def thread():
        threads.append(threading.get_ident())
        return "text"

    with override_settings(CACHE_CORE={"USE_CASES": {name: {"HARD_TIMEOUT": 10}}}):
        assert render(template, thread=thread) == "text"
    assert threads == [threading.get_ident()]


def test_a_rendering_ends_with_its_place_in_the_page():
    """The variables of a template change while it goes on, so it cannot be rendered afterwards."""
    rendering = Rendering(Engine().from_string("text").nodelist, Context())
    rendering.end()
    with pytest.raises(RenderedElsewhere, match="together with its page"):
        rendering()


def test_an_error_of_the_fragment_goes_to_the_page(name):
    """Nothing is kept then."""
    template = compiled(f"{{% cached 300 {name} %}}", "{{ broken }}")

    def broken():
        raise ValueError("broken fragment")

    with pytest.raises(ValueError, match="broken fragment"):
        render(template, broken=broken)
    assert render(template, broken="whole") == "whole"


def test_it_is_not_refreshed_without_its_page(name):
    """A policy that refreshes entries early leaves it as it is until its end."""
    template, threads = compiled(f"{{% cached 300 {name} %}}", "{{ thread }}"), []

    def thread():
        threads.append(threading.get_ident())
        return "text"

    def view(request):
        return HttpResponse(template.render({"thread": thread}))

    with override_settings(CACHE_CORE={"USE_CASES": {name: {"EARLY_REFRESH": 0.0001}}}):
        for _ in range(3):
            response = CacheScopeMiddleware(view)(RequestFactory().get("/"))
            assert response.content == b"text"
            response.close()  # what is put off to the end of the request happens now
            time.sleep(0.001)
        figures = cache.stats()["use_cases"][name]
    assert threads == [threading.get_ident()]
    assert figures["load_failures"] >= 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% cached 300 %}{% endcached %}", "needs a time to live and a name"),
        ("{% cached seconds wrong-ttl %}{% endcached %}", "ttl"),
        ("{% cached 300 wrong-type fragment= %}{% endcached %}", "Could not parse"),
        ("{% cached 300 never-closed %}", "endcached"),
        ("{% cached 300 form %}{% csrf_token %}{% endcached %}", "everybody's"),
        (
            "{% cached 300 form %}{% if a %}{% csrf_token %}{% endif %}{% endcached %}",
            "everybody's",
        ),
    ],
)
def test_a_wrong_tag_is_refused(source, message):
    """The error comes when the template is compiled, and says what is wrong."""
    with pytest.raises(TemplateSyntaxError, match=message):
        engines["django"].from_string("{% load cache_core %}" + source)


def files(string_if_invalid="", **sources):
    """An engine with these templates in files of their own."""
    loader = "django.template.loaders.locmem.Loader"
    libraries = {"cache_core": "django_ext.templatetags.cache_core"}
    load = {name: "{% load cache_core %}" + source for name, source in sources.items()}
    loaders = [(loader, load)]
    return Engine(loaders=loaders, libraries=libraries, string_if_invalid=string_if_invalid)


def test_a_name_stands_for_one_fragment(name):
    """Two templates that declare it otherwise cannot both be right."""
    tag = "{{% cached {} {} %}}{{% endcached %}}"
    engine = files(one=tag.format(300, name), two=tag.format(60, name), three=tag.format(300, name))
    engine.get_template("one")
    engine.get_template("three")
    with pytest.raises(TemplateSyntaxError, match=r"of two is declared otherwise in one"):
        engine.get_template("two")


def test_a_template_may_be_edited(name):
    """While one develops, a template is compiled again and may declare its fragment anew."""
    for ttl in (300, 60):
        files(one=f"{{% cached {ttl} {name} %}}{{% endcached %}}").get_template("one")
    assert cache.policy(name).local.ttl == 60


def test_it_cannot_take_the_name_of_a_function(name):
    """A fragment and a function under one name would share a policy and entries."""

    @cache.cached(use_case=name, ttl=60)
    def function():
        return 1

    with pytest.raises(TemplateSyntaxError, match="exists already"):
        compiled(f"{{% cached 300 {name} %}}")


def test_a_page_through_the_middleware(name, seen):
    """In a GET request caching is on, in a POST it is off, without a word in the view."""
    template = compiled(f"{{% cached 300 {name} %}}")
    page = CacheScopeMiddleware(lambda request: HttpResponse(template.render({"seen": seen})))
    factory = RequestFactory()
    texts = [page(request).content for request in (factory.get("/"), factory.get("/"))]
    assert texts == [b"&lt;1&gt;"] * 2
    assert page(factory.post("/")).content == b"&lt;2&gt;"
