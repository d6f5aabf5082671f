"""Generated functions and calls: two calls share a key if and only if they are the same call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from inspect import Parameter

from hypothesis import given
from hypothesis import strategies as st

from cache_core.keys.binding import Binding
from cache_core.keys.key import Key
from cache_core.keys.roles import Roles
from cache_core.keys.text import id_text

NAMES = ["a", "b", "user_id", "self_", "_cc_RAW", "key", "zoë", "type"]
POSITIONAL = {Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD}
NAMED = [Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY]

ids = st.sampled_from([0, 1, 7, "0", "7", "~str.7", "", "a:b", "é", "{}", "7?a=1"])
# Few, and alike, so that calls often agree, or differ in one type or separator only.
arguments = st.sampled_from(
    [
        0,
        1,
        True,
        1.0,
        "1",
        "",
        "a",
        "a&b=1",
        None,
        "None",
        (1,),
        [1],
        [True],
        {"a": 1},
        b"a",
        -0.0,
        0.0,
    ]
)


def typed(value):
    """*value* in a form that tells the types apart."""
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(typed, value))
    if isinstance(value, dict):
        return dict, frozenset((typed(key), typed(item)) for key, item in value.items())
    return type(value), repr(value)


@dataclass
class Subject:
    """A function that returns its bound arguments, and how it is declared."""

    function: object
    parameters: list
    id_arg: str | None
    ignored: list
    adapted: list

    def binding(self):
        roles = Roles(
            self.function,
            key_type=self.id_arg and "user_id",
            id_arg=self.id_arg,
            ignore_args=self.ignored,
            arg_adapters={name: lambda value: [value] for name in self.adapted},
        )
        return Binding(roles, "Get")

    def meaning(self, args, kwargs):
        """What makes two calls the same call, as ``inspect`` binds them."""
        call = inspect.signature(self.function).bind(*args, **kwargs)
        call.apply_defaults()
        values = dict(call.arguments)
        entity = id_text(values[self.id_arg]) if self.id_arg else None
        if self.id_arg not in self.adapted:
            values.pop(self.id_arg, None)
        return entity, {name: typed(values[name]) for name in values.keys() - set(self.ignored)}


@st.composite
def subjects(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    kinds = sorted(draw(st.lists(st.sampled_from(NAMED), min_size=len(names), max_size=len(names))))
    optional = draw(st.integers(0, len(names)))
    parameters = [
        Parameter(name, kind, default=draw(ids) if index >= optional else Parameter.empty)
        for index, (name, kind) in enumerate(zip(names, kinds))
    ]
    variadic = draw(st.sampled_from(["", "args", "kwargs", "args kwargs"]))
    if "kwargs" in variadic:
        parameters.append(Parameter("kwargs", Parameter.VAR_KEYWORD))
    if "args" in variadic.split():
        before = sum(parameter.kind in POSITIONAL for parameter in parameters)
        parameters.insert(before, Parameter("args", Parameter.VAR_POSITIONAL))
    id_arg = draw(st.sampled_from([None, *names]))
    others = [parameter.name for parameter in parameters if parameter.name != id_arg]
    ignored = draw(st.lists(st.sampled_from(others), unique=True, max_size=1)) if others else []
    free = [parameter.name for parameter in parameters if parameter.name not in ignored]
    adapted = draw(st.lists(st.sampled_from(free), unique=True, max_size=2)) if free else []
    return Subject(compiled(parameters), parameters, id_arg, ignored, adapted)


def compiled(parameters):
    """A plain function with these parameters, which returns them in their order."""
    defaults = {
        f"default_{parameter.name}": parameter.default
        for parameter in parameters
        if parameter.default is not Parameter.empty
    }
    text = str(
        inspect.Signature(
            [
                parameter.replace(default=Raw(f"default_{parameter.name}"))
                if parameter.default is not Parameter.empty
                else parameter
                for parameter in parameters
            ]
        )
    )
    returned = ", ".join(parameter.name for parameter in parameters)
    exec(f"def function{text}: return [{returned}]", defaults)
    return defaults["function"]


class Raw(str):
    """Source text that ``Signature`` writes as it is."""

    __slots__ = ()

    def __repr__(self):
        return str(self)


@st.composite
def calls(draw, subject):
    """Arguments that fit, by position or by keyword, defaults sometimes left out."""
    args, kwargs, by_keyword = [], {}, False
    for parameter in subject.parameters:
        value = draw(ids if parameter.name == subject.id_arg else arguments)
        if parameter.kind is Parameter.VAR_POSITIONAL:
            if not by_keyword:
                args += draw(st.lists(arguments, max_size=2))
        elif parameter.kind is Parameter.VAR_KEYWORD:
            kwargs |= draw(st.dictionaries(st.sampled_from(["x", "y"]), arguments, max_size=2))
        elif parameter.default is not Parameter.empty and draw(st.booleans()):
            by_keyword = True
        elif parameter.kind is Parameter.POSITIONAL_ONLY:
            if not by_keyword:
                args.append(value)
        else:
            by_keyword = (
                by_keyword or parameter.kind is Parameter.KEYWORD_ONLY or draw(st.booleans())
            )
            if by_keyword:
                kwargs[parameter.name] = value
            else:
                args.append(value)
    return args, dict(draw(st.permutations(list(kwargs.items()))))


@given(st.data(), subjects())
def test_calls_share_a_key_exactly_when_they_are_the_same(data, subject):
    """No two different calls share a key; all spellings of one call do."""
    binding = subject.binding()
    one, other = data.draw(calls(subject)), data.draw(calls(subject))
    keys = [binding.key(binding.bind(*args, **kwargs)) for args, kwargs in (one, other)]
    same = subject.meaning(*one) == subject.meaning(*other)
    assert (keys[0] == keys[1]) is same
    assert (keys[0].storage == keys[1].storage) is same


@given(st.data(), subjects())
def test_the_local_layer_never_joins_what_the_remote_one_parts(data, subject):
    """Equal items of a local key always mean equal keys."""
    binding = subject.binding()
    one, other = [binding.bind(*args, **kwargs) for args, kwargs in data.draw(pairs(subject))]
    if one == other:
        assert hash(one) == hash(other)
        assert binding.key(one) == binding.key(other)


@given(st.data(), subjects())
def test_a_spelling_makes_no_difference(data, subject):
    """The bound call, given entirely by position and name, has the items of each spelling."""
    binding = subject.binding()
    args, kwargs = data.draw(calls(subject))
    full = inspect.signature(subject.function).bind(*args, **kwargs)
    full.apply_defaults()
    assert binding.bind(*args, **kwargs) == binding.bind(*full.args, **full.kwargs)


@given(st.data(), subjects())
def test_the_key_of_any_call_parses_back(data, subject):
    """The URN of a call gives its key."""
    binding = subject.binding()
    args, kwargs = data.draw(calls(subject))
    key = binding.key(binding.bind(*args, **kwargs))
    assert Key.parse_urn(key.urn_in("shop")) == key


@given(st.data(), subjects())
def test_a_generated_wrapper_hands_every_argument_on(data, subject):
    """What the function gets through the sources is what it gets when it is called itself."""
    binding = subject.binding()
    p = binding.prefix
    namespace = {**binding.namespace, f"{p}function": subject.function}
    exec(
        f"def wrapper({binding.signature_source}): return {p}function({binding.call_source})",
        namespace,
    )
    args, kwargs = data.draw(calls(subject))
    got, expected = namespace["wrapper"](*args, **kwargs), subject.function(*args, **kwargs)
    assert typed(got) == typed(expected)


def pairs(subject):
    return st.tuples(calls(subject), calls(subject))
