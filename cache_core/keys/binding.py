"""From a function's signature to keys: analysed once, when the function is declared.

A binding gives the sources that a wrapper is generated from. They bind a call as Python itself
does, so every spelling of it (positional, keyword, default) gives the same items, without the cost
of ``Signature.bind``. An item of a type in ``RAW`` stands for itself, any other for its text.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from inspect import Parameter
from typing import Any, cast

from cache_core.errors import TenantMissing
from cache_core.keys.function import STARS
from cache_core.keys.key import Entity, Key
from cache_core.keys.roles import Adapter, Roles
from cache_core.keys.tenancy import Level, key_name
from cache_core.keys.text import RAW, RAW_IDS, component_text, id_text, mark, mark_id

Arguments = tuple[tuple[Any, ...], dict[str, Any]]

_KEY = "key"
"""What the result of a key function is called among the arguments of a key."""

_EXPECTED: dict[object, str] = {str: "str", "str": "str", int: "int", "int": "int"}
"""What a signature may announce, and the name of its type in the sources."""


class Binding:
    """How the arguments of one function become a key.

    The id argument is left out of the key's arguments, because the id stands for it; with an
    adapter of its own it is in them too. ``*args`` and ``**kwargs`` are one argument each and
    always in, unless ignored: they hold more than an id.

    The ids of tenants are in the key too: as the arguments that they are, or where one of them is
    not, all by themselves.

    Args:
        roles: What its function's parameters mean.
        use_case: The name of its use case.

    Attributes:
        function: The function.
        parameters: Its parameters.
        levels: The levels of the tenant path, the outermost first.
        prefix: What every name in the sources begins with that is not a parameter's; no parameter
            begins with it.
        signature_source: The function's own parameter list.
        call_source: The arguments that hand these parameters on to the function.
        key_source: The items of a local key: the id, where there is an entity, then the arguments
            in the order of their names.
        arg_names: The names behind the items after the id, in their order: those of parameters,
            and of tenant levels where they are items by themselves.
        namespace: What the names in the sources stand for.
    """

    def __init__(self, roles: Roles, use_case: str) -> None:
        self._roles = roles
        self.use_case = use_case
        self.function = roles.function
        self.key_type = roles.key_type
        self.parameters = roles.parameters
        self.levels = roles.levels
        self._generate()

    # -- the sources -----------------------------------------------------------------------------

    def _generate(self) -> None:
        p = self.prefix = _free_prefix([parameter.name for parameter in self.parameters])
        self.namespace: dict[str, object] = {
            f"{p}type": type,
            f"{p}str": str,
            f"{p}int": int,
            f"{p}RAW": RAW,
            f"{p}IDS": RAW_IDS,
            f"{p}mark": mark,
            f"{p}mark_id": mark_id,
            f"{p}packed": _packed,
        }
        self.signature_source = self._signature_source()
        self.call_source = ", ".join([_argument_source(each) for each in self.parameters])
        levels = self._level_sources()
        items = self._item_sources(levels)
        self.key_source = ", ".join(items)
        self._places = [items.index(source) for source in levels.values() if source in items]
        self._bind = self._compiled("bind", _tuple_source(items))
        self._ids = self._compiled("ids", _tuple_source(levels.values()))
        self._pack = self._compiled("pack", f"{p}packed({self.call_source})")

    def _item_sources(self, levels: Mapping[str, str]) -> list[str]:
        names = self._names_of_arguments()
        if all(self._is_told(level, names) for level in self.levels):
            levels = {}
        self.arg_names = sorted([*names, *levels])
        items = [levels.get(name) or self._item_source(name) for name in self.arg_names]
        return (
            items if self._roles.id_name is None else [self._id_source(self._roles.id_name), *items]
        )

    def _level_sources(self) -> dict[str, str]:
        """Name in the key -> source of the item, for each level of the tenant path."""
        sources = {}
        for index, level in enumerate(self.levels):
            name = f"{self.prefix}level{index}"
            self.namespace[name] = level.item
            sources[key_name(level.name)] = f"{name}({level.parameter or self.call_source})"
        return sources

    def _names_of_arguments(self) -> list[str]:
        if self._roles.key is not None:
            return [_KEY]
        return [
            parameter.name
            for parameter in self.parameters
            if parameter.name not in self._roles.ignored and not self._is_only_id(parameter)
        ]

    def _is_told(self, level: Level, names: Sequence[str]) -> bool:
        """Whether keys differ wherever the level's id does, because the argument is in them."""
        name = level.parameter
        if level.take is not None:
            return False
        if name == self._roles.id_name:
            return self._roles.id_adapter is None
        if self._roles.key is not None:
            return False  # also where a parameter is called as what stands for all of them
        return name in names and name not in self._roles.adapters

    def _is_only_id(self, parameter: Parameter) -> bool:
        return (
            parameter.name == self._roles.id_name
            and parameter.name not in self._roles.adapters
            and parameter.kind not in STARS
        )

    def _signature_source(self) -> str:
        parts: list[str] = []
        kinds = [parameter.kind for parameter in self.parameters]
        for index, parameter in enumerate(self.parameters):
            if _opens_keyword_only(kinds, index):
                parts.append("*")
            parts.append(self._parameter_source(index, parameter))
            if _closes_positional_only(kinds, index):
                parts.append("/")
        return ", ".join(parts)

    def _parameter_source(self, index: int, parameter: Parameter) -> str:
        source = STARS.get(parameter.kind, "") + parameter.name
        if parameter.default is Parameter.empty:
            return source
        name = f"{self.prefix}default{index}"
        self.namespace[name] = parameter.default
        return f"{source}={name}"

    def _id_source(self, name: str) -> str:
        adapter = self._roles.id_adapter
        return self._checked_source(name, f"{self.prefix}id", adapter, types="IDS", other="mark_id")

    def _key_source(self) -> str:
        p = self.prefix
        self.namespace[f"{p}key_of"] = self._roles.key
        made = f"{p}made := {p}key_of({self.call_source})"
        return f"{p}made if {p}type({made}) in {p}RAW else {p}mark({p}made, {_KEY!r})"

    def _item_source(self, name: str) -> str:
        if self._roles.key is not None:
            return self._key_source()
        adapter = self._roles.adapters.get(name)
        adapter_name = f"{self.prefix}adapter{self.arg_names.index(name)}"
        return self._checked_source(name, adapter_name, adapter, types="RAW", other="mark")

    def _checked_source(
        self, name: str, adapter_name: str, adapter: Adapter | None, *, types: str, other: str
    ) -> str:
        p = self.prefix
        value = test = name
        if adapter is not None:
            self.namespace[adapter_name] = adapter
            value, test = f"{p}value", f"{p}value := {adapter_name}({name})"
        # type(), not __class__: a proxy claims the class of what it stands for at this moment.
        known = f"{p}type({test}) in {p}{types}"
        expected = _EXPECTED.get(self._expected(name)) if adapter is None else None
        if expected is not None:
            # What the signature announces is compared first: that costs half of the look-up.
            known = f"{p}type({value}) is {p}{expected} or {known}"
        return f"{value} if {known} else {p}{other}({value}, {name!r})"

    def _expected(self, name: str) -> object:
        """The type that the annotation or else the default of a parameter announces."""
        parameter = next(each for each in self.parameters if each.name == name)
        if parameter.annotation is not Parameter.empty:
            return parameter.annotation if isinstance(parameter.annotation, (str, type)) else None
        return type(parameter.default)

    def _compiled(self, name: str, expression: str) -> Callable[..., Any]:
        """A function that takes the function's own parameters and returns *expression*."""
        name = f"{self.prefix}{name}"
        namespace = dict(self.namespace)
        source = f"def {name}({self.signature_source}): return {expression}"
        exec(source, namespace)  # noqa: S102 - built from the names of parameters only
        made = cast("Callable[..., Any]", namespace[name])
        # A call that does not fit is reported under the name of the function that was meant.
        made.__qualname__ = getattr(self.function, "__qualname__", self.use_case)
        return made

    @property
    def tenant_path(self) -> tuple[str, ...]:
        """The names of the tenant levels, the outermost first; empty for none."""
        return tuple([level.name for level in self.levels])

    # -- calls and keys --------------------------------------------------------------------------

    def bind(self, /, *args: Any, **kwargs: Any) -> tuple[Hashable, ...]:
        """The items of the local key of one call.

        Raises:
            TypeError: The arguments do not fit the signature.
            UnkeyableValue: The id or an argument has no stable text.
        """
        items: tuple[Hashable, ...] = self._bind(*args, **kwargs)
        return items

    def arguments(self, /, *args: Any, **kwargs: Any) -> Arguments:
        """The arguments of one call as a wrapper hands them on, whatever its spelling.

        Raises:
            TypeError: The arguments do not fit the signature.
        """
        packed: Arguments = self._pack(*args, **kwargs)
        return packed

    def check_tenant(self, /, *args: Any, **kwargs: Any) -> None:
        """Refuses a call that does not say whose it is.

        Raises:
            TenantMissing: A tenant has no id.
        """
        try:
            self._ids(*args, **kwargs)
        except TenantMissing as error:
            raise TenantMissing(f"The call of {self.use_case!r} is refused. {error}") from error

    def path(
        self, items: Sequence[Hashable], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        """The tenant path of one call: pairs of level and canonical text of the id.

        Args:
            items: The items of its local key.
            args: Its arguments by position.
            kwargs: Those by keyword.

        Raises:
            UnkeyableValue: A tenant has no id.
        """
        found: Any = [items[place] for place in self._places] or self._ids(*args, **kwargs)
        return [(level.name, text) for level, (text,) in zip(self.levels, found)]

    def key(self, components: Sequence[Hashable]) -> Key:
        """The full key behind the items of a local key.

        Raises:
            UnkeyableValue: An item is an integer of more digits than Python writes.
        """
        entity, items = None, iter(components)
        if self.key_type is not None:
            entity = Entity(self.key_type, id_text(next(items)))
        return Key(self.use_case, entity, tuple(zip(self.arg_names, map(component_text, items))))


def _free_prefix(names: Sequence[str]) -> str:
    prefix = "_cc_"
    while any(name.startswith(prefix) for name in names):
        prefix = f"_{prefix}"
    return prefix


def _packed(*args: Any, **kwargs: Any) -> Arguments:
    return args, kwargs


def _tuple_source(items: Iterable[str]) -> str:
    return f"({''.join([f'{item}, ' for item in items])})"


def _argument_source(parameter: Parameter) -> str:
    name = parameter.name
    if parameter.kind is Parameter.KEYWORD_ONLY:
        return f"{name}={name}"
    return STARS.get(parameter.kind, "") + name


def _opens_keyword_only(kinds: Sequence[object], index: int) -> bool:
    """Whether a bare ``*`` stands before this parameter."""
    before = kinds[index - 1] if index else None
    return kinds[index] is Parameter.KEYWORD_ONLY and before not in {
        Parameter.KEYWORD_ONLY,
        Parameter.VAR_POSITIONAL,
    }


def _closes_positional_only(kinds: Sequence[object], index: int) -> bool:
    """Whether a ``/`` stands after this parameter."""
    after = kinds[index + 1] if index + 1 < len(kinds) else None
    return Parameter.POSITIONAL_ONLY is kinds[index] is not after
