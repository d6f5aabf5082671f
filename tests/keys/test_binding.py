from __future__ import annotations

import functools
import math
from uuid import UUID

import pytest

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.binding import Binding
from cache_core.keys.key import Entity, Key
from cache_core.keys.roles import Roles


def get_user(user_id, lang="en", *, page=1):
    return user_id, lang, page


def bound(function=get_user, **options):
    """A binding about a user."""
    return free(function, **{"key_type": "user_id", "id_arg": "user_id", **options})


def free(function, **options):
    """A binding about no entity."""
    return Binding(Roles(function, **options), "Get")


def key(binding, *args, **kwargs):
    return binding.key(binding.bind(*args, **kwargs))


def generated(binding):
    """A wrapper made from the sources, as the cache makes one: the items, and what it returns."""
    p = binding.prefix
    source = (
        f"def wrapper({binding.signature_source}):\n"
        f"    {p}key = ({binding.key_source},)\n"
        f"    return {p}key, {p}function({binding.call_source})\n"
    )
    namespace = {**binding.namespace, f"{p}function": binding.function}
    exec(source, namespace)
    return namespace["wrapper"]


# -- keys ------------------------------------------------------------------------------------------


def test_a_call_becomes_a_key():
    """The id makes the entity, the other arguments stand sorted by name."""
    assert key(bound(), 7, page=2) == Key(
        "Get", Entity("user_id", "7"), (("lang", "en"), ("page", "2"))
    )


def test_a_function_without_an_entity_has_a_key_too():
    """Without key_type and id_arg all arguments are in the key's arguments."""
    assert key(free(get_user), 7).storage == "{uc:Get}?lang=en&page=1&user_id=7#Get"


def test_a_function_without_parameters_has_one_key():
    """No arguments, no items, one key."""
    binding = free(lambda: 1)
    assert binding.bind() == ()
    assert key(binding).storage == "{uc:Get}#Get"


@pytest.mark.parametrize(
    "call",
    [
        lambda f: f(7),
        lambda f: f(user_id=7),
        lambda f: f(7, "en"),
        lambda f: f(lang="en", user_id=7),
        lambda f: f(7, page=1),
        lambda f: f(7, "en", page=1),
    ],
)
def test_every_spelling_is_one_key(call):
    """H3, C12: positional, by keyword, by default: one call, one entry."""
    assert call(bound().bind) == (7, "en", 1)


def test_ids_of_other_types_are_one_entity():
    """D21: an id given as a number or as text leads to the same entry outside of the process."""
    uuid = UUID(int=7)
    assert key(bound(), 7) == key(bound(), "7")
    assert key(bound(), uuid) == key(bound(), str(uuid))


def test_d2_separators_in_arguments_do_not_collide():
    """D2: what looks like a separator is part of a value, within and across entities."""

    def f(user_id, a="", b=""):
        pass

    assert key(bound(f), 1, a="x&b=y", b="z") != key(bound(f), 1, "x", "y&b=z")
    one, other = key(bound(f), "1?a=b", "c"), key(bound(f), "1", "b?a=c")
    assert one.entity != other.entity
    assert one.storage != other.storage


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), (None, "None"), (True, 1), (1, 1.0), (b"a", "a"), ((1,), [1])]
)
def test_d3_types_do_not_collide(one, other):
    """D3: equal looks and even equality in Python do not make one call of two."""
    assert len({bound().bind(7, value) for value in (one, other)}) == 2
    assert key(bound(), 7, one).storage != key(bound(), 7, other).storage


def test_d3_objects_are_refused_and_not_keyed_by_address():
    """D3: an object without a stable text has no key; the error names the argument."""
    with pytest.raises(UnkeyableValue, match=r"^Argument 'lang': A value of type object"):
        bound().bind(7, object())


def test_d3_the_order_of_keyword_arguments_is_no_difference():
    """D3: **kwargs in another order are the same call."""

    def f(user_id, **options):
        pass

    assert bound(f).bind(7, a=1, b=2) == bound(f).bind(7, b=2, a=1)


@pytest.mark.parametrize("user_id", [None, True, 1.5, b"7", [7]])
def test_a_bad_id_is_refused_with_the_argument(user_id):
    """An id without canonical text raises when the items are made, naming the parameter."""
    with pytest.raises(UnkeyableValue, match=r"^Argument 'user_id': .*cannot be an entity id"):
        bound().bind(user_id)


def test_an_id_can_be_taken_out_of_an_argument():
    """With (name, callable) the id stands for the whole argument."""

    def f(user, lang="en"):
        pass

    binding = bound(f, id_arg=("user", lambda user: user["id"]))
    assert key(binding, {"id": 7, "name": "x"}).storage == "{user_id:7}?lang=en#Get"


def test_an_id_with_an_adapter_is_an_argument_too():
    """An adapter for the id argument puts the adapted value into the arguments as well."""
    binding = bound(arg_adapters={"user_id": lambda user_id: user_id % 2})
    assert key(binding, 7).args == (("lang", "en"), ("page", "1"), ("user_id", "1"))


def test_adapters_turn_arguments_into_keyable_values():
    """What an adapter returns is keyed as if it had been the argument."""
    binding = bound(arg_adapters={"lang": lambda lang: [lang.name]})

    class Lang:
        name = "en"

    assert key(binding, 7, Lang()).args[0] == ("lang", "~list(en)")


def test_an_adapter_is_called_once_for_each_call():
    """An adapter may be slow; its result is used, not asked for again."""
    asked = []
    binding = bound(arg_adapters={"lang": lambda lang: asked.append(lang) or lang})
    binding.bind(7, "en")
    assert asked == ["en"]


def test_what_an_adapter_raises_is_raised():
    """A failing adapter does not lead to a key."""
    with pytest.raises(ZeroDivisionError):
        bound(arg_adapters={"page": lambda page: 1 / page}).bind(7, page=0)


def test_ignored_arguments_are_left_out():
    """Arguments that do not change the result may be of any type."""
    binding = bound(ignore_args=["lang"])
    assert binding.bind(7, object()) == binding.bind(7, object()) == (7, 1)


def test_variadic_arguments_are_one_argument_each():
    """*args and **kwargs cannot be confused with named parameters or with each other."""

    def f(a, /, *args, **kwargs):
        pass

    assert key(free(f), 1, 2, a=3).args == (
        ("a", "1"),
        ("args", "~tuple(2)"),
        ("kwargs", "~dict(a=3)"),
    )


def test_a_variadic_id_argument_stays_an_argument():
    """An id taken out of **kwargs does not make the rest of them disappear."""

    def f(**options):
        pass

    binding = bound(f, id_arg=("options", lambda options: options["id"]))
    assert key(binding, id=7, lang="en").entity == Entity("user_id", "7")
    assert key(binding, id=7, lang="en") != key(binding, id=7, lang="de")


def test_wrong_arguments_are_reported_as_by_python():
    """The message of a call that does not fit names the function that was meant."""
    with pytest.raises(TypeError, match=r"^get_user\(\) missing 1 required positional argument"):
        bound().bind()


# -- methods ---------------------------------------------------------------------------------------


class Service:
    def __init__(self, name):
        self.name = name

    def get(self, user_id):
        return self.name, user_id

    @classmethod
    def make(cls, user_id):
        return user_id

    @staticmethod
    def plain(user_id):
        return user_id

    @property
    def user_id(self):
        return 7


def klass_get(cls, user_id):
    pass


@pytest.mark.parametrize("function", [Service.get, klass_get])
def test_self_and_cls_are_never_dropped_silently(function):
    """D3, H2: a function with self or cls must say what it means for the key."""
    first = function.__code__.co_varnames[0]
    with pytest.raises(DeclarationError) as caught:
        bound(function)
    for way in (f"id_arg=('{first}'", f"arg_adapters={{'{first}'", f"ignore_args=['{first}']"):
        assert way in str(caught.value)


def test_the_state_of_self_makes_a_difference():
    """D3, H2: two objects of one class have entries of their own."""
    binding = bound(Service.get, arg_adapters={"self": lambda self: self.name})
    assert key(binding, Service("x"), 1) != key(binding, Service("y"), 1)


def test_self_can_be_the_entity():
    """A method of an entity takes its id out of self."""
    binding = bound(Service.get, id_arg=("self", lambda self: self.name))
    assert key(binding, Service("x"), 1).entity == Entity("user_id", "x")


def test_self_can_be_ignored():
    """A service object that is the same everywhere may be left out."""
    binding = bound(Service.get, ignore_args=["self"])
    assert key(binding, Service("x"), 1) == key(binding, Service("y"), 1)


@pytest.mark.parametrize(
    ("wrapped", "decorator"),
    [
        (Service.__dict__["make"], "@classmethod"),
        (Service.__dict__["plain"], "@staticmethod"),
        (Service.__dict__["user_id"], "@property"),
        (functools.cached_property(Service.get), "@cached_property"),
    ],
)
def test_descriptors_belong_above(wrapped, decorator):
    """H13: put on a classmethod object and the like, the message says to swap the two lines."""
    with pytest.raises(DeclarationError, match=f"put @cached below {decorator}"):
        free(wrapped)


@pytest.mark.parametrize(
    "function",
    [Service("x").get, Service.make, functools.partial(Service("x").get, 1), "a".upper, [].append],
)
def test_a_bound_method_is_refused(function):
    """H2: the object behind a bound method is not in the key, so it is refused."""
    with pytest.raises(DeclarationError, match=r"bound to an object.*Decorate the method"):
        free(function)


# -- what cannot be cached -------------------------------------------------------------------------


def numbers(stop):
    yield from range(stop)


async def anumbers(stop):
    yield stop


@pytest.mark.parametrize("function", [numbers, anumbers, functools.partial(numbers, 3)])
def test_generators_are_refused(function):
    """A generator is used up by the first caller; the message says what to return."""
    with pytest.raises(DeclarationError, match=r"generator.*Return a list"):
        free(function)


def test_an_object_with_an_async_call_is_refused():
    """Nobody could tell that it must be awaited."""

    class Get:
        async def __call__(self, user_id):
            return user_id

    with pytest.raises(DeclarationError, match="async __call__"):
        free(Get())


def test_a_callable_object_is_bound_by_its_call():
    """An object with a plain __call__ is as good as a function."""

    class Get:
        def __call__(self, user_id):
            return user_id

    assert key(bound(Get()), 7).entity == Entity("user_id", "7")


@pytest.mark.parametrize("thing", [Service, 7, None, "get_user"])
def test_what_is_no_function_is_refused(thing):
    """A class or a plain value is refused with advice."""
    with pytest.raises(DeclarationError, match="not a function"):
        free(thing)


def test_a_partial_is_bound_by_what_is_left():
    """Arguments that a partial has filled in are no arguments of the call."""
    binding = bound(functools.partial(get_user, lang="de"))
    assert key(binding, 7).args == (("lang", "de"), ("page", "1"))
    assert generated(binding)(7)[1] == (7, "de", 1)


def test_a_builtin_with_a_signature_is_bound():
    """Functions written in C are as good as others where Python knows their parameters."""
    assert key(free(math.sqrt), 2).args == (("x", "2"),)


def test_a_builtin_without_a_signature_is_refused():
    """Where the parameters are unknown, no key can be built."""
    with pytest.raises(DeclarationError, match=r"not known to Python; write a function"):
        free(max)


def test_annotations_are_not_evaluated():
    """Names in annotations may exist for type checkers only."""

    def f(user_id: OnlyForTypeCheckers) -> AlsoNotThere:  # noqa: F821
        pass

    assert key(bound(f), 7).entity == Entity("user_id", "7")


# -- declarations that do not fit ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"id_arg": "usr_id"}, r"id_arg names 'usr_id'.*Did you mean 'user_id'\?"),
        ({"id_arg": ("usr_id", str)}, r"id_arg names 'usr_id'.*Did you mean 'user_id'\?"),
        ({"arg_adapters": {"lnag": str}}, r"arg_adapters names 'lnag'.*Did you mean 'lang'\?"),
        ({"ignore_args": ["db"]}, "ignore_args names 'db'.*Parameters: user_id, lang, page"),
        ({"ignore_args": "page"}, r"ignore_args is the text 'page'; give a list: \['page'\]"),
        ({"ignore_args": ["user_id"]}, "'user_id' is the id_arg"),
        ({"ignore_args": ["page"], "arg_adapters": {"page": str}}, "'page' is in ignore_args"),
        ({"arg_adapters": {"page": 1}}, r"arg_adapters\['page'\] is a int; give a callable"),
        ({"arg_adapters": ["page"]}, "arg_adapters is a list; give a dict"),
        ({"id_arg": ("user_id",)}, "id_arg is .*give the name of a parameter, or a pair"),
        ({"id_arg": ("user_id", "id")}, "id_arg is .*give the name of a parameter, or a pair"),
        ({"id_arg": 0}, "id_arg is 0; give the name"),
        ({"key_type": None}, "id_arg='user_id' and key_type=None belong together"),
        ({"id_arg": None}, "id_arg=None and key_type='user_id' belong together"),
    ],
)
def test_a_declaration_that_does_not_fit_is_refused(options, message):
    """Wrong names and options raise when the function is declared; the message names the function."""
    with pytest.raises(DeclarationError, match=message) as caught:
        bound(**options)
    assert str(caught.value).startswith(f"{__name__}.get_user: ")


def test_a_variadic_parameter_is_no_id():
    """*args as a whole cannot be an id; a callable may take one out."""

    def f(*ids):
        pass

    with pytest.raises(DeclarationError, match=r"id_arg=\('ids', callable\)"):
        bound(f, id_arg="ids")


# -- the sources -----------------------------------------------------------------------------------


def test_the_sources_are_those_of_the_function():
    """The wrapper takes the function's own parameters and hands them on."""

    def f(a, b=1, /, c=2, *rest, d, e=3, **more):
        return a, b, c, rest, d, e, more

    binding = free(f)
    assert binding.call_source == "a, b, c, *rest, d=d, e=e, **more"
    items, result = generated(binding)(1, 2, 3, 4, d=5, f=6)
    assert result == (1, 2, 3, (4,), 5, 3, {"f": 6})
    assert items == (1, 2, 3, 5, 3, ("~dict(f=6)",), ("~tuple(4)",))


def test_positional_only_and_keyword_only_stay_so():
    """A wrapper accepts the spellings that the function accepts, and no others."""

    def f(a, /, *, b):
        return a, b

    binding = free(f)
    assert binding.signature_source == "a, /, *, b"
    for args, kwargs in (((), {"a": 1, "b": 2}), ((1, 2), {})):
        with pytest.raises(TypeError):
            binding.bind(*args, **kwargs)


def test_defaults_are_the_very_objects():
    """A default is handed on as it is, whatever its type."""
    default = object()

    def f(a=default):
        return a

    assert generated(free(f, arg_adapters={"a": id}))()[1] is default


def test_parameters_may_have_any_name():
    """Names of the generated code give way to those of the function."""
    names = [
        "_cc_RAW",
        "_cc_mark",
        "_cc_value",
        "_cc_default0",
        "__cc_type",
        "type",
        "scope",
        "key",
    ]
    namespace = {}
    exec(f"def f({', '.join(names)}=1): return [{', '.join(names)}]", namespace)
    binding = free(namespace["f"], arg_adapters={"scope": str})
    assert not any(name.startswith(binding.prefix) for name in names)
    items, result = generated(binding)(*range(7))
    assert result == [*range(7), 1]
    assert sorted(map(str, items)) == sorted(map(str, result))


def test_names_of_the_generated_code_have_the_prefix():
    """Whoever adds names to a wrapper needs the prefix only to stay clear of the function's."""
    binding = bound(arg_adapters={"page": str})
    assert all(name.startswith(binding.prefix) for name in binding.namespace)
