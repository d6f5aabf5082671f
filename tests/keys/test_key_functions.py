"""A function of the user's that says what stands for all arguments of a call."""

from __future__ import annotations

import pytest

from cache_core import Cache
from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.roles import Roles


def find(text, lang="en", *more, page=1):
    return text, lang, more, page


def bound(key, function=find, **options):
    return Binding(Roles(function, key=key, **options), "Find")


def key(binding, *args, **kwargs):
    return binding.key(binding.bind(*args, **kwargs))


def normal(text, lang, *more, page):
    return (text.lower(), page)


def test_calls_that_mean_the_same_are_one_entry():
    """Whatever their arguments are; and a spelling by name or by default is no other call."""
    binding = bound(normal)
    assert key(binding, "Tea", "de", 1, page=2) == key(binding, text="tea", page=2)
    assert key(binding, "Tea") != key(binding, "Tea", page=2)


@pytest.mark.parametrize("made", ["a&b=c", 7, (1, "1"), {"a": [1]}, None, b"x"], ids=repr)
def test_what_it_returns_is_a_key_as_an_argument_is(made):
    """Each value has one text, and no other value has the same."""
    others = ["7", "a", (1, 1), {"a": ["1"]}, "None", "x"]
    one = key(bound(lambda *args, **kwargs: made), "x").storage
    assert one == key(bound(lambda *args, **kwargs: made), "y").storage
    assert one not in {
        key(bound(lambda *a, other=other, **k: other), "x").storage for other in others
    }


def test_what_has_no_text_is_no_key():
    """The call runs uncached, and the message names the key function."""
    with pytest.raises(UnkeyableValue, match="'key'"):
        bound(lambda *args, **kwargs: object()).bind("x")


def test_the_entity_is_in_the_key_besides():
    """So its invalidation reaches the entry, and two entities never share one."""
    binding = bound(lambda *a, **k: "same", key_type="text", id_arg="text")
    assert key(binding, "a").storage == "{text:a}?key=same#Find"
    assert key(binding, "a") != key(binding, "b")


@pytest.mark.parametrize(
    "tenant",
    [{"language": "lang"}, {"language": ("lang", str.upper)}, {"language": lambda *a, **k: a[1]}],
    ids=["argument", "pair", "callable"],
)
def test_tenants_are_in_the_key_besides(tenant):
    """A key function that forgets whose data it is about shares nothing."""
    binding = bound(lambda *a, **k: "same", tenant=tenant)
    assert key(binding, "x", "en") == key(binding, "y", "en")
    assert key(binding, "x", "en") != key(binding, "x", "de")


def test_a_parameter_called_key_is_not_what_the_key_function_returns():
    """Its result is called so too; a tenant in that parameter is in the key nonetheless."""
    binding = Binding(Roles(lambda key: key, key=lambda key: "same", tenant={"org": "key"}), "Find")
    assert key(binding, "a").storage == "{uc:Find}?key=same&tenant.org=a#Find"
    assert binding.bind("a") != binding.bind("b")


def test_a_method_needs_no_word_about_self():
    """The function is given the object, and says what of it matters."""

    class Desk:
        def get(self, page):
            return page

    binding = bound(lambda self, page: page, function=Desk.get)
    assert binding.bind(Desk(), 1) == binding.bind(Desk(), 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "text"}, "key is a str; give a callable"),
        ({"key": lambda text: text}, "key is called with the arguments"),
        ({"key": normal, "ignore_args": ["page"]}, "arg_adapters= and ignore_args= have nothing"),
        ({"key": normal, "arg_adapters": {"text": str}}, "Keep one or the others"),
    ],
)
def test_what_cannot_be_one_is_refused(options, message):
    """When the function is declared, with its name."""
    with pytest.raises(DeclarationError, match=message) as caught:
        bound(**options)
    assert str(caught.value).startswith(f"{__name__}.find: ")


def test_a_coroutine_function_is_refused():
    """Nobody waits while a key is built."""

    async def made(*args, **kwargs):
        return 1

    with pytest.raises(DeclarationError, match="coroutine function"):
        bound(made)


def test_one_that_fails_breaks_no_call():
    """The call runs uncached, is counted, and is no entry."""
    cache = Cache()
    get = cache.cached(use_case="Get", ttl=60, key=lambda number: 1 // number)(
        lambda number: number
    )
    with cache.enable():
        assert (get(0), get(0), get(1), get(1)) == (0, 0, 1, 1)
    figures = cache.stats()["use_cases"]["Get"]
    assert figures["bypasses"] == {"all": {"unkeyable": 2}}
    assert figures["hits"]["request"] == 1


def test_where_it_fails_there_is_no_key_to_give():
    """An error of ours, whatever it raised; arguments that do not fit are told as such."""
    get = Cache().cached(use_case="Get", ttl=60, key=lambda number: 1 // number)(
        lambda number: number
    )
    with pytest.raises(UnkeyableValue, match="ZeroDivisionError: integer"):
        get.invalidate(0)
    with pytest.raises(TypeError, match="missing 1 required"):
        get.invalidate()


def test_the_handles_ask_it_too():
    """An entry is invalidated by any call that means it."""
    cache, loads = Cache(), []

    @cache.cached(use_case="Get", ttl=60, key=lambda text: text.lower())
    def get(text):
        loads.append(text)

    with cache.enable():
        get("Tea"), get("tea")
    get.invalidate("TEA")
    with cache.enable():
        get("tea")
    assert loads == ["Tea", "tea"]
