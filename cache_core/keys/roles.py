"""The roles that the parameters of a function play in its keys, as its declaration says them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from cache_core.errors import DeclarationError, did_you_mean
from cache_core.keys.function import (
    ONE_VALUE,
    STARS,
    check_function,
    check_helper,
    place,
    signature_of,
)
from cache_core.keys.tenancy import Level, TenantId, levels_of

Adapter = Callable[[Any], object]


class Roles:
    """Which parameter holds the id, which are adapted, ignored, or a tenant's; checked when made.

    Args:
        function: The function that is declared.
        key_type: The kind of entity that the function is about; None for none.
        id_arg: The parameter that holds the entity's id, or a pair of its name and a callable that
            takes the id out of the argument.
        arg_adapters: Parameter name -> callable that turns the argument into something that a key
            can be built from.
        ignore_args: Parameters that do not change the result.
        key: A callable of the arguments that returns what stands for all of them, the id and
            tenants apart; None for the arguments themselves.
        tenant: Level name -> where the tenant's id is, the outermost level first.

    Attributes:
        parameters: Those of the function.
        adapters: Parameter name -> its adapter.
        ignored: The names of parameters that do not change the result.
        id_name: The parameter that the entity's id is in; None for none.
        id_adapter: Takes the id out of it; None where it is the id.
        levels: The levels of the tenant path, the outermost first.

    Raises:
        DeclarationError: The other arguments do not fit the function, or it cannot be cached.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        key_type: str | None = None,
        id_arg: str | tuple[str, Adapter] | None = None,
        arg_adapters: Mapping[str, Adapter] | None = None,
        ignore_args: Collection[str] | None = None,
        key: Callable[..., object] | None = None,
        tenant: Mapping[str, TenantId] | None = None,
    ) -> None:
        check_function(function)
        self.function = function
        self.key_type = key_type
        self.parameters = list(signature_of(function).parameters.values())
        self.adapters = _adapters(function, arg_adapters)
        self.ignored = _names(function, ignore_args)
        self.key = key
        self.id_name, self.id_adapter = _split(function, id_arg)
        self.levels = levels_of(function, tenant)
        self._check()

    def _check(self) -> None:
        names = [parameter.name for parameter in self.parameters]
        _check_names(self.function, "arg_adapters", self.adapters, names)
        _check_names(self.function, "ignore_args", self.ignored, names)
        if self.id_name is not None:
            _check_names(self.function, "id_arg", [self.id_name], names)
        self._check_entity()
        self._check_adapters()
        if self.key is None:
            self._check_owner()
        else:
            self._check_key(self.key)
        for level in self.levels:
            self._check_level(level, names)

    def _check_entity(self) -> None:
        name = self.id_name
        if (name is None) is not (self.key_type is None):
            raise self._error(
                f"id_arg={name!r} and key_type={self.key_type!r} belong together: the id of what, "
                "and where it is. Give both, or neither for a function that is about no entity."
            )
        if name in self.ignored:
            raise self._error(f"{name!r} is the id_arg and cannot be in ignore_args as well.")
        kinds = {parameter.name: parameter.kind for parameter in self.parameters}
        if name is not None and kinds[name] in STARS and self.id_adapter is None:
            raise self._error(
                f"{name!r} holds any number of arguments and so is no id; "
                f"give id_arg=({name!r}, callable) that takes the id out of it."
            )

    def _check_adapters(self) -> None:
        for name, adapter in self.adapters.items():
            if not callable(adapter):
                raise self._error(
                    f"arg_adapters[{name!r}] is a {type(adapter).__name__}; give a callable "
                    "that takes the argument and returns a str, an int or the like."
                )
            if name in self.ignored:
                raise self._error(f"{name!r} is in ignore_args and has an adapter; keep one.")

    def _check_key(self, key: object) -> None:
        if not callable(key):
            raise self._error(
                f"key is a {type(key).__name__}; give a callable of the arguments that returns what "
                "stands for all of them."
            )
        if self.adapters or self.ignored:
            raise self._error(
                "key= says what stands for all arguments; arg_adapters= and ignore_args= have "
                "nothing to add. Keep one or the others."
            )
        check_helper(key, "key", self.function, self.parameters)

    def _check_owner(self) -> None:
        """``self`` and ``cls`` are never dropped silently: they may change the result."""
        first = self.parameters[0].name if self.parameters else ""
        handled = {self.id_name, *self.adapters, *self.ignored}
        if first in {"self", "cls"} and first not in handled:
            raise self._error(
                f"{first!r} may change the result, so say what it means for the key: "
                f"id_arg=({first!r}, lambda {first}: ...) when it holds the entity's id, "
                f"arg_adapters={{{first!r}: lambda {first}: ...}} when some state of it matters, "
                f"or ignore_args=[{first!r}] when it does not matter."
            )

    def _check_level(self, level: Level, names: Sequence[str]) -> None:
        name, take = level.parameter, level.take
        if name is not None:
            _check_names(self.function, level.option, [name], names)
            if self.parameters[names.index(name)].kind in STARS and take is None:
                raise self._error(
                    f"{level.option} is {name!r}, which holds any number of arguments and so is no "
                    f"id; give ({name!r}, callable) that takes the id out of it."
                )
        if take is not None:
            parameters = self.parameters if name is None else ONE_VALUE
            check_helper(take, level.option, self.function, parameters)

    def _error(self, text: str) -> DeclarationError:
        return DeclarationError(f"{place(self.function)}: {text}")


def _adapters(
    function: Callable[..., Any], adapters: Mapping[str, Adapter] | None
) -> dict[str, Adapter]:
    if not isinstance(adapters, (Mapping, type(None))):
        raise DeclarationError(
            f"{place(function)}: arg_adapters is a {type(adapters).__name__}; "
            "give a dict of parameter name and callable."
        )
    return dict(adapters or {})


def _names(function: Callable[..., Any], names: Collection[str] | None) -> tuple[str, ...]:
    if isinstance(names, str):
        raise DeclarationError(
            f"{place(function)}: ignore_args is the text {names!r}; give a list: [{names!r}]."
        )
    if not isinstance(names, (Iterable, type(None))):
        raise DeclarationError(
            f"{place(function)}: ignore_args is {names!r}; give a list of parameters' names."
        )
    return tuple(names or ())


def _split(
    function: Callable[..., Any], id_arg: str | tuple[str, Adapter] | None
) -> tuple[str | None, Adapter | None]:
    if id_arg is None or isinstance(id_arg, str):
        return id_arg, None
    match id_arg:
        case (str() as name, adapter) if callable(adapter):
            return name, adapter
    raise DeclarationError(
        f"{place(function)}: id_arg is {id_arg!r}; give the name of a parameter, or a pair of its "
        "name and a callable that takes the id out of the argument."
    )


def _check_names(
    function: Callable[..., Any], option: str, given: Collection[str], known: Sequence[str]
) -> None:
    for name in given:
        if name not in known:
            has = ", ".join(known) or "none"
            hint = did_you_mean(str(name), known)
            raise DeclarationError(
                f"{place(function)}: {option} names {name!r}, which is not a parameter. "
                f"Parameters: {has}. {hint}".rstrip()
            )
