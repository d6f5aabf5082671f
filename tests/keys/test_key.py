from __future__ import annotations

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
    is_coarse,
    slot_thing,
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


@given(texts, texts, names, texts)
def test_no_two_things_share_a_text(name, other, key_type, id):
    """Root, use cases, slots and entities cannot be taken for each other."""
    entity, neighbour = Entity(key_type, id).thing, Entity(key_type + id, "").thing
    things = {ROOT, use_case_thing(name), slot_thing(name, 1), entity}
    assert len(things) == 4
    assert (use_case_thing(name) == use_case_thing(other)) is (name == other)
    assert (entity == neighbour) is (id == "")


@given(texts, names, texts)
def test_only_root_and_use_cases_are_coarse(name, key_type, id):
    """Entities and slots are fine, whatever they are called."""
    assert is_coarse(ROOT)
    assert is_coarse(use_case_thing(name))
    assert is_coarse(type_thing(key_type))
    assert not is_coarse(slot_thing(name, 17))
    assert not is_coarse(Entity(key_type, id).thing)


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
