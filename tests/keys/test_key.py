from __future__ import annotations

from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.key import (
    LONGEST,
    ROOT,
    SLOTS,
    Entity,
    Key,
    any_thing,
    is_coarse,
    name_text,
    slot_thing,
    tag_thing,
    tenant_things,
    type_thing,
    use_case_thing,
)

any_text = st.text(st.characters(codec=None), max_size=12)
nasty_text = st.text("ab1é\ud800~.%:&=?#{}/*", max_size=6)
texts = any_text | nasty_text
names = texts.filter(lambda text: text not in {"", "uc", "t"})
keys = st.builds(
    Key,
    use_case=texts,
    entity=st.none() | st.builds(Entity, key_type=names, id=texts),
    args=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)


def key(use_case="GetUser", entity=("user_id", "42"), **args):
    return Key(use_case, entity and Entity(*entity), tuple(sorted(args.items())))


@given(keys, texts)
def test_a_urn_parses_back(key, namespace):
    """Whatever the components are made of, a URN gives its key back, with and without namespace."""
    assert Key.parse_urn(key.urn) == key
    assert Key.parse_urn(key.urn_in(namespace)) == key


@given(keys, keys)
def test_two_keys_share_no_text(one, other):
    """Different keys differ in what they are stored under."""
    assert (one.storage == other.storage) is (one == other)


@pytest.mark.parametrize(
    ("key", "storage", "urn"),
    [
        (
            key(lang="en", page="2"),
            "{user_id:42}?lang=en&page=2#GetUser",
            "urn:shop:user_id:42?lang=en&page=2#GetUser",
        ),
        (key(), "{user_id:42}#GetUser", "urn:shop:user_id:42#GetUser"),
        (
            key(entity=None, q="a b"),
            "{uc:GetUser}?q=a%20b#GetUser",
            "urn:shop:uc:GetUser?q=a%20b#GetUser",
        ),
        (
            key("shop.views.get", ("user id", "a:b}")),
            "{user%20id:a%3Ab%7D}#shop.views.get",
            "urn:shop:user%20id:a%3Ab%7D#shop.views.get",
        ),
    ],
)
def test_texts_never_change(key, storage, urn):
    """What lies in stores and logs is written as in every release before."""
    assert (key.storage, key.urn_in("shop")) == (storage, urn)


def test_a_key_prints_as_its_urn():
    """str() gives what people search logs for."""
    assert str(key(lang="en")) == key(lang="en").urn == "urn:user_id:42?lang=en#GetUser"


def test_a_long_key_ends_in_a_digest():
    """Beyond 200 characters the arguments are a digest; entity and use case stay readable."""
    long = key(q="x" * LONGEST)
    assert long.storage == "{user_id:42}?~82f5019c9d38a8005f56daaf3d5a11df#GetUser"


def test_a_key_of_just_the_limit_is_readable():
    """Exactly 200 characters are not too long."""
    room = LONGEST - len(key(q="").storage)
    assert key(q="x" * room).storage.endswith("x#GetUser")
    assert "?~" in key(q="x" * (room + 1)).storage


def test_long_keys_differ():
    """The digest depends on each character, and is no text that arguments can have."""
    assert key(q="x" * 300).storage != key(q="x" * 299 + "y").storage
    assert "=" not in key(q="x" * 300).storage


def test_a_long_key_still_has_its_full_urn():
    """For people nothing is shortened, so the URN of a long key parses back too."""
    long = key(q="x" * 500)
    assert Key.parse_urn(long.urn_in("shop")) == long


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urn:",
        "user_id:42#GetUser",
        "urn:user_id:42",
        "urn:a:b:user_id:42#GetUser",
        "urn:user_id:42?lang#GetUser",
        "urn:user_id:42?#GetUser",
        "urn:user_id:4 2#GetUser",
        "urn:user_id:%4#GetUser",
        "urn:user_id:%ff#GetUser",
        "urn:user_id:42#Get#User",
        "urn:uc:Other#GetUser",
        "urn::42#GetUser",
        "urn:t:42#GetUser",
        "urn:user_id:42#GetUser\n",
    ],
)
def test_what_is_no_urn_is_refused(text):
    """Text that no key prints as is refused, with the form that is expected."""
    with pytest.raises(ValueError, match=r"is not the URN.*urn:<namespace>:<key type>"):
        Key.parse_urn(text)


@pytest.mark.parametrize(
    ("key", "slot"), [(key(), 1070), (key(lang="en"), 125), (key(entity=None), 992)]
)
def test_slots_never_change(key, slot):
    """Every process and release invalidates a single entry by the same slot."""
    assert key.slot == slot


def test_slots_are_spread():
    """Keys that differ in little fall into slots all over the range."""
    slots = [key(entity=("user_id", str(number))).slot for number in range(2 * SLOTS)]
    assert 0 <= min(slots) < 20 < SLOTS - 20 < max(slots) < SLOTS
    assert len(set(slots)) > SLOTS // 2


def test_a_key_cannot_be_changed():
    """A key is a value: hashable, equal by its parts, frozen."""
    one = key(lang="en")
    assert {one: 1}[key(lang="en")] == 1
    with pytest.raises(AttributeError):
        one.use_case = "Other"


# -- things ----------------------------------------------------------------------------------------


def test_things_are_named_as_documented():
    """The tails of version keys are those of the protocol."""
    assert Entity.of("user_id", 42).thing == "{user_id:42}"
    assert use_case_thing("Get User") == "{uc:Get%20User}"
    assert slot_thing("GetUser", 17) == "{uc:GetUser}/s:17"
    assert type_thing("user_id") == "{user_id:*}"
    assert any_thing("user_id") == "{user_id:+}"
    assert tag_thing("front page") == "{t:front%20page}"
    path = [("organization", "1/2"), ("user", "a")]
    assert tenant_things(path) == ("{organization:1%2F2}/", "{organization:1%2F2}/user:a/")


levels = texts.filter(bool)
# Every kind of thing, as what it is made from; two of these are different things unless equal.
things = st.one_of(
    st.just(("root",)),
    st.tuples(st.just("use case"), texts),
    st.tuples(st.just("slot"), texts, st.integers(0, SLOTS - 1)),
    st.tuples(st.just("entity"), names, texts),
    st.tuples(st.just("type"), names),
    st.tuples(st.just("any"), names),
    st.tuples(st.just("tag"), levels),
    st.tuples(
        st.just("tenant"),
        st.lists(st.tuples(levels, levels), min_size=1, max_size=3).map(tuple),
    ),
)
makers = {
    "root": lambda: ROOT,
    "use case": use_case_thing,
    "slot": slot_thing,
    "entity": lambda *parts: Entity(*parts).thing,
    "type": type_thing,
    "any": any_thing,
    "tag": tag_thing,
    "tenant": lambda path: tenant_things(path)[-1],
}


def text_of(thing):
    kind, *parts = thing
    return makers[kind](*parts)


@given(things, things)
def test_no_two_things_share_a_text(one, other):
    """Things of any two kinds, whatever they are called, cannot be taken for each other."""
    assert (text_of(one) == text_of(other)) is (one == other)


@given(st.data(), things)
def test_things_that_nearly_agree_share_no_text(data, one):
    """The same parts make another thing of another kind, or moved to another place."""
    kind, *parts = one
    words = [text_of(one), kind, *parts, "*", "+", "s:1", "uc:a", "t:a"]
    word = data.draw(st.sampled_from([word for word in words if isinstance(word, str) and word]))
    others = {("tag", word), ("use case", word), ("tenant", (("a", word),)), ("entity", "a", word)}
    texts = [text_of(other) for other in others - {one}]
    assert len({*texts, text_of(one)}) == len(texts) + 1


@given(things)
def test_only_few_things_are_coarse(thing):
    """Root, use cases, whole types and first tenant levels are, whatever they are called."""
    coarse = {"root", "use case", "type", "any"}
    first_level = thing[0] == "tenant" and len(thing[1]) == 1
    assert is_coarse(text_of(thing)) is (thing[0] in coarse or first_level)


@given(st.lists(st.tuples(levels, levels), min_size=1, max_size=4))
def test_a_tenant_path_has_a_thing_for_each_prefix(path):
    """Each begins with the one above it, and with the braces that decide on its slot in a cluster."""
    found = tenant_things(path)
    assert len(found) == len(path)
    assert found[-2:-1] == tenant_things(path[:-1])[-1:]
    assert all(thing.startswith(found[0][:-1]) for thing in found)


@pytest.mark.parametrize("path", [[("a", "1/b:2")], [("a:1/b", "2")], [("a", "1"), ("b/", "2")]])
def test_no_level_can_pretend_to_be_two(path):
    """C2: separators in names and ids are escaped, so nobody reaches into another tenant."""
    one = tenant_things([("x", "1"), ("a", "1"), ("b", "2")])
    assert not set(tenant_things([("x", "1"), *path])[1:]) & set(one[2:])


def test_without_a_path_there_are_no_tenant_things():
    """No levels, no things."""
    assert tenant_things([]) == ()


@pytest.mark.parametrize("name", ["", None, 7, ["a"]])
def test_a_tag_is_a_text_that_says_something(name):
    """Anything else is refused, with an example."""
    with pytest.raises(DeclarationError, match="give a text, for example 'profile'"):
        tag_thing(name)


@pytest.mark.parametrize("make", [type_thing, any_thing])
@pytest.mark.parametrize("key_type", ["", "uc", "t"])
def test_things_of_a_type_check_the_type(make, key_type):
    """What can be no key type has no things."""
    with pytest.raises(DeclarationError):
        make(key_type)


def test_a_member_of_an_enum_of_texts_is_its_text():
    """Whichever of two equal names is seen first, every process writes the same thing."""

    class Kind(str, Enum):
        POST = "post"

    for key_type in (Kind.POST, "post"):
        name_text.cache_clear()
        assert {Entity(key_type, "3").thing, Entity("post", "3").thing} == {"{post:3}"}
        assert any_thing(key_type) == "{post:+}"
        assert tag_thing(key_type) == "{t:post}"


def test_ids_of_any_type_make_one_entity():
    """D21: an entity is the same by its number and by the number's text."""
    assert Entity.of("user_id", 7) == Entity.of("user_id", "7") == ("user_id", "7")


def test_each_id_is_an_entity_of_its_own():
    """L1: what is invalidated for one id is not what is invalidated for another."""
    assert Entity.of("user_id", "a").thing != Entity.of("user_id", "b").thing


def test_an_id_cannot_reach_into_another_entity():
    """C2: separators in an id are escaped, so no id names a part of another entity."""
    assert Entity.of("org", "1/user:2").thing == "{org:1%2Fuser%3A2}"
    assert Entity.of("org", "1}").thing != Entity.of("org", "1").thing + "}"


@pytest.mark.parametrize("key_type", ["uc", "t"])
def test_reserved_key_types_are_refused(key_type):
    """A user's entity cannot stand where the library keeps its own versions."""
    with pytest.raises(DeclarationError, match=f"reserved.*Choose another word.*{key_type}_id"):
        Entity.of(key_type, "GetUser")


@pytest.mark.parametrize("key_type", ["", None, 7])
def test_a_key_type_is_a_text(key_type):
    """An entity of no type is refused, with what a type is."""
    with pytest.raises(DeclarationError, match=f"key_type is {key_type!r}; give a text"):
        Entity.of(key_type, 7)


def test_an_entity_needs_an_id():
    """An id that has no canonical text is refused."""
    with pytest.raises(UnkeyableValue):
        Entity.of("user_id", None)
