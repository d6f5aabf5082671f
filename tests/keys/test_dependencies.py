"""What a declaration says that entries depend on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.dependencies import Dependencies, things_of
from cache_core.keys.key import Entity
from cache_core.keys.roles import Roles


def get_user(user_id, lang="en", *, page=1):
    return user_id, lang, page


def declared(function=get_user, **told):
    binding = Binding(Roles(function), "Get")
    return binding, Dependencies(binding, **told)


def told(*args, function=get_user, **options):
    """The things of a call with *args* under a declaration."""
    binding, dependencies = declared(function, **options)
    return things_of(dependencies.of(*binding.arguments(*args)))


# -- tags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tags",
    [
        "profile",
        ["profile"],
        {"profile": 1},
        iter(["profile", "profile"]),
        lambda user_id, lang, page: "profile",
        lambda *args, **kwargs: {"profile"},
        lambda *args, **kwargs: (tag for tag in ["profile"]),
        ["profile", lambda *args, **kwargs: "profile"],
        [lambda *args, **kwargs: ["profile"]],
    ],
    ids=lambda tags: type(tags).__name__,
)
def test_tags_are_told_in_many_ways(tags):
    """A text, several, a callable of the arguments, or a mixture."""
    assert told(7, tags=tags) == ("{t:profile}",)


def test_a_callable_gets_the_arguments_of_the_function():
    """As the function itself is called: with every argument, defaults included."""
    asked = []
    told(7, tags=lambda *args, **kwargs: asked.append((args, kwargs)) or "a")
    assert asked == [((7, "en"), {"page": 1})]


def test_a_callable_of_a_method_gets_the_object():
    """The object is an argument like the others."""

    class Desk:
        team = "blue"

        def get(self, page):
            return page

    binding = Binding(Roles(Desk.get, ignore_args=["self"]), "Get")
    dependencies = Dependencies(binding, tags=lambda self, page: f"team {self.team}")
    assert things_of(dependencies.of((Desk(), 1), {})) == ("{t:team%20blue}",)


def test_without_callables_nothing_varies():
    """What is the same for every call needs no call to be told."""
    assert not declared(tags=["a"], depends_on=[("post", 3), "tag"])[1].vary
    assert declared(tags=["a", lambda *args, **kwargs: "b"])[1].vary


def test_duplicates_are_one_tag():
    """H8: the same tag twice is the same tag."""
    assert told(7, tags=("a", "a", lambda *_, **__: ("a", "a"))) == ("{t:a}",)


# -- entities --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depends_on", "things"),
    [
        ("post", ("{post:+}",)),
        (("post", 3), ("{post:*}", "{post:3}")),
        (Entity("post", "3"), ("{post:*}", "{post:3}")),
        ([("post", 3)], ("{post:*}", "{post:3}")),
        ([("post", "three")], ("{post:*}", "{post:three}")),
        (["post", "tag"], ("{post:+}", "{tag:+}")),
        ((("post", 3), "tag"), ("{post:*}", "{tag:+}", "{post:3}")),
        (lambda *_, **__: "post", ("{post:+}",)),
        (lambda *_, **__: ("post", 3), ("{post:*}", "{post:3}")),
        (lambda *_, **__: ("post", "three"), ("{post:*}", "{post:three}")),
        (lambda *_, **__: ["post", ("tag", 3)], ("{post:+}", "{tag:*}", "{tag:3}")),
        (lambda *_, **__: [], ()),
        (["tag", lambda *_, **__: "post"], ("{post:+}", "{tag:+}")),
    ],
)
def test_entities_are_told_in_many_ways(depends_on, things):
    """A key type, a pair, several of them, a callable, or a mixture."""
    assert told(7, depends_on=depends_on) == things


def test_two_key_types_in_a_tuple_are_asked_about():
    """They would be one entity that nobody ever invalidates; so the message gives both spellings."""
    with pytest.raises(DeclarationError) as caught:
        declared(depends_on=("post", "tag"))
    assert "give ['post', 'tag'] or [('post', 'tag')]" in str(caught.value)


@pytest.mark.parametrize("depends_on", [[("user", "user_id")], [Entity("user", "user_id")]])
def test_a_parameter_is_no_id(depends_on):
    """A name of a parameter where an id belongs would be an entity that nobody ever invalidates."""
    with pytest.raises(DeclarationError, match=r"a callable .* returns \('user', user_id\)"):
        declared(depends_on=depends_on)


# -- what depends on what --------------------------------------------------------------------------

some_entities = st.lists(
    st.one_of(
        st.sampled_from(["post", "tag"]),
        st.tuples(st.sampled_from(["post", "tag"]), st.integers(0, 2)),
    ),
    max_size=5,
)
changes = st.one_of(
    st.sampled_from(["post", "tag"]),
    st.tuples(st.sampled_from(["post", "tag"]), st.integers(0, 2)),
)


def bumped(change):
    """What an invalidation of an entity, or of a whole type, replaces."""
    if isinstance(change, str):
        return {f"{{{change}:*}}", f"{{{change}:+}}"}
    return {f"{{{change[0]}:{change[1]}}}", f"{{{change[0]}:+}}"}


@given(some_entities, changes)
def test_an_entry_dies_of_what_it_depends_on_and_of_nothing_else(depends_on, change):
    """An entity's invalidation reaches those that name it or any of its type; a type's reaches all."""
    key_types = {one if isinstance(one, str) else one[0] for one in depends_on}
    if isinstance(change, str):
        expected = change in key_types
    else:
        expected = change in depends_on or change[0] in depends_on
    things = told(7, depends_on=list(depends_on))
    assert bool(bumped(change) & set(things)) is expected


@given(some_entities)
def test_nothing_is_depended_on_in_vain(depends_on):
    """Leaving out any one thing would leave some invalidation unseen."""
    things = set(told(7, depends_on=list(depends_on)))
    every = ["post", "tag", *[(key_type, n) for key_type in ("post", "tag") for n in range(3)]]
    for thing in things:
        assert any(bumped(change) & things == {thing} for change in every)


# -- what follows from the value -------------------------------------------------------------------


def test_a_result_tells_dependencies():
    """Things of the value, canonical as those of a call."""
    _, dependencies = declared(
        result_tags=lambda posts: {post["tag"] for post in posts},
        result_depends_on=lambda posts: [("post", post["id"]) for post in posts],
    )
    posts = [{"id": 3, "tag": "b"}, {"id": 1, "tag": "a"}, {"id": 3, "tag": "b"}]
    assert dependencies.late(posts) == ("{post:*}", "{post:1}", "{post:3}", "{t:a}", "{t:b}")
    assert dependencies.late([]) == ()


@pytest.mark.parametrize("option", ["result_tags", "result_depends_on"])
def test_one_callable_of_the_result_is_enough(option):
    """Each of the two counts by itself."""
    _, dependencies = declared(**{option: lambda value: value})
    assert len(dependencies.late("post")) == 1


def test_most_functions_have_nothing_late():
    """None tells the read path that values need not be asked."""
    assert declared(tags="a", depends_on="post")[1].late is None


def test_a_result_of_many_entities_depends_on_their_type():
    """A long list costs misses, and never a stale hit."""
    _, dependencies = declared(result_depends_on=lambda ids: [("post", each) for each in ids])
    assert dependencies.late(range(1000)) == ("{post:+}",)


def test_a_failing_callable_of_the_result_is_named():
    """Whatever it raises, it is one error, with its place in the declaration."""
    _, dependencies = declared(result_tags=lambda value: value.tag)
    with pytest.raises(UnkeyableValue, match=r"^result_tags \(.*<lambda>\): AttributeError"):
        dependencies.late(None)


# -- callables that fail ---------------------------------------------------------------------------


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError


def failing(error):
    def tell(*args, **kwargs):
        raise error

    return tell


@pytest.mark.parametrize(
    ("callable_", "message"),
    [
        (failing(ZeroDivisionError("by zero")), r"tell\): ZeroDivisionError: by zero$"),
        (failing(Unprintable()), "tell\\): .*Unprintable"),
        (failing(UnkeyableValue("no text")), r"tell\): no text$"),
        (lambda *_, **__: None, "A NoneType was given; give a text or several"),
        (lambda *_, **__: 7, "A int was given; give a text or several"),
        (lambda *_, **__: ["a", 7], "A tag is of type int; give a text"),
        (lambda *_, **__: ["a", ""], "A tag is empty; give a text"),
        (lambda *_, **__: [["a"]], "A tag is of type list"),
        (lambda *_, **__: (1 / 0 for _ in "a"), "ZeroDivisionError"),
    ],
)
def test_a_failing_callable_of_tags_is_named(callable_, message):
    """Whatever it raises or returns, it is one error, with its place in the declaration."""
    with pytest.raises(UnkeyableValue, match=message) as caught:
        told(7, tags=callable_)
    assert str(caught.value).startswith(f"tags ({__name__}.")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "A NoneType was given; give a pair such as"),
        ([7], "A int was given; give a pair such as"),
        ([("post", 3, 4)], "A tuple was given; give a pair such as"),
        ([["post", 3]], "A list was given; give a pair such as"),
        (("post", None), "None cannot be an entity id"),
        (("uc", 3), "key_type 'uc' is reserved"),
        ("", "key_type is ''"),
    ],
)
def test_a_failing_callable_of_entities_is_named(returned, message):
    """As for tags."""
    with pytest.raises(UnkeyableValue, match=message) as caught:
        told(7, depends_on=lambda *_, **__: returned)
    assert str(caught.value).startswith(f"depends_on ({__name__}.")


def test_what_ends_the_program_is_no_failure():
    """An interrupt goes through."""
    with pytest.raises(KeyboardInterrupt):
        told(7, tags=failing(KeyboardInterrupt()))


# -- declarations that mean nothing ----------------------------------------------------------------


async def coroutine(*args, **kwargs):
    return "a"


class AsyncCall:
    async def __call__(self, *args, **kwargs):
        return "a"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": 7}, "tags: A int was given; give a text or several"),
        ({"tags": [7]}, "tags: A tag is of type int"),
        ({"tags": ""}, "tags: A tag is empty"),
        ({"tags": ["a", ""]}, "tags: A tag is empty"),
        ({"depends_on": 7}, "depends_on: A int was given; give a pair such as"),
        ({"depends_on": [("post", None)]}, "depends_on: None cannot be an entity id"),
        ({"depends_on": ["t"]}, "depends_on: key_type 't' is reserved"),
        ({"depends_on": [("post", str.upper)]}, "depends_on: .*cannot be an entity id"),
        ({"result_tags": "a"}, "result_tags: a str was given; give a callable .*belongs into tags"),
        (
            {"result_depends_on": ["post"]},
            "result_depends_on: a list was given; .*belongs into depends_on",
        ),
        (
            {"tags": lambda user_id: "a"},
            r"tags is called with the arguments \(user_id, lang, page\), and .*<lambda> does not take",
        ),
        (
            {"tags": ["a", lambda user_id: "a"]},
            r"Give it these parameters, or \(\*args, \*\*kwargs\)",
        ),
        ({"depends_on": lambda user_id, lang, p: "a"}, "does not take them"),
        ({"result_tags": lambda: "a"}, r"arguments \(value\)"),
        ({"result_depends_on": lambda *, posts: "a"}, r"arguments \(value\)"),
        ({"tags": coroutine}, "tags is the coroutine function .*coroutine, and nobody waits"),
        ({"tags": AsyncCall()}, "tags is the coroutine function"),
        ({"result_tags": coroutine}, "result_tags is the coroutine function"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(options, message):
    """It raises when the function is declared; the message names the function and what to give."""
    with pytest.raises(DeclarationError, match=message) as caught:
        declared(**options)
    assert str(caught.value).startswith(f"{__name__}.get_user: ")


def test_a_callable_must_take_what_the_function_takes():
    """Also any number of arguments, where the function does."""

    def f(a, *rest, **more):
        pass

    with pytest.raises(DeclarationError, match=r"\(a, \*rest, \*\*more\)"):
        declared(f, tags=lambda a, *rest: "a")
    with pytest.raises(DeclarationError, match=r"\(a, \*rest, \*\*more\)"):
        declared(f, tags=lambda a, **more: "a")
    assert told(1, function=f, tags=lambda a, *rest, **more: f"a {a}") == ("{t:a%201}",)


def test_a_callable_that_python_knows_nothing_of_is_tried():
    """Some functions written in C have no signature; the first call tells."""
    assert told("a", function=lambda tag: tag, tags=str) == ("{t:a}",)
