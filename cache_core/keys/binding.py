"""How the arguments of one function become a key, worked out once when it is decorated.

The result is source text for the wrapper: the function's own parameter list, the call that passes
them on, and the expressions of the local key. So a call binds its arguments as Python itself does,
and positional, keyword and default spellings are one key without ``Signature.bind``, which would
cost forty times as much.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from inspect import Parameter
from typing import Any

from cache_core.errors import DeclarationError, did_you_mean
from cache_core.keys.key import Entity, Key
from cache_core.keys.text import RAW, component_text, mark

Adapter = Callable[[Any], object]

_STARS = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}


class Binding:
    """The way from a function's arguments to its keys.

    Args:
        function: What is decorated.
        use_case: Its name.
        key_type: The kind of entity, None for none.
        id_arg: The parameter with the entity's id, or (parameter, callable that takes it out).
        arg_adapters: Parameter -> callable that makes something keyable of the argument.
        ignore_args: Parameters that are not part of the key.

    Attributes:
        prefix: What every name of ours in generated source begins with; no name of the function
            does.
        signature_source: The parameter list.
        call_source: The arguments that pass the parameters on.
        key_source: The items of the local key: the id first where there is an entity, then every
            argument that counts.
        namespace: What the names in these texts refer to.

    Raises:
        DeclarationError: Something does not fit the function; says what, which name, what to do.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        use_case: str,
        key_type: str | None = None,
        id_arg: str | tuple[str, Adapter] | None = None,
        arg_adapters: Mapping[str, Adapter] | None = None,
        ignore_args: Sequence[str] = (),
    ) -> None:
        self.function = function
        self.use_case = use_case
        self.key_type = key_type
        self._where = f"use case {use_case!r}"
        self.parameters = _parameters(function, self._where)
        self._id_name, self._id_adapter = self._read_id(id_arg)
        self._adapters = dict(arg_adapters or {})
        self._ignored = self._read_ignored(ignore_args)
        self._check()
        self._names = self._key_names()
        self._order = sorted(range(len(self._names)), key=self._names.__getitem__)
        self.prefix = _free_prefix(parameter.name for parameter in self.parameters)
        self.namespace: dict[str, object] = {}
        self.signature_source = self._signature()
        self.call_source = ", ".join(map(_passed, self.parameters))
        self.key_source = self._items()
        self.bind = self._compiled()

    def key(self, components: Sequence[Hashable]) -> Key:
        """The full key behind the items of a local key.

        Raises:
            UnkeyableValue: The id has no stable text.
        """
        entity = None
        if self.key_type is not None:
            entity = Entity.of(self.key_type, components[0])
            components = components[1:]
        args = tuple([(self._names[i], component_text(components[i])) for i in self._order])
        return Key(self.use_case, entity, args)

    # -- what was asked for ----------------------------------------------------------------------

    def _read_id(self, id_arg: Any) -> tuple[str | None, Adapter | None]:
        if (self.key_type is None) != (id_arg is None):
            given, missing = ("id_arg", "key_type") if id_arg else ("key_type", "id_arg")
            raise DeclarationError(
                f"{given}= of {self._where} needs {missing}= beside it: an entity is a kind of "
                "thing and an id."
            )
        if id_arg is None or isinstance(id_arg, str):
            return id_arg, None
        if isinstance(id_arg, tuple) and len(id_arg) == 2 and callable(id_arg[1]):
            return id_arg
        raise DeclarationError(
            f"id_arg={id_arg!r} of {self._where} is neither a parameter's name nor a pair of one "
            "and a callable that takes the id out of the argument."
        )

    def _read_ignored(self, ignore_args: Sequence[str]) -> frozenset[str]:
        if isinstance(ignore_args, str):
            raise DeclarationError(
                f"ignore_args={ignore_args!r} of {self._where} is one text; give a list: "
                f"[{ignore_args!r}]."
            )
        return frozenset(ignore_args)

    def _check(self) -> None:
        known = [parameter.name for parameter in self.parameters]
        asked = {"id_arg": [self._id_name] if self._id_name else []}
        asked["arg_adapters"] = list(self._adapters)
        asked["ignore_args"] = sorted(self._ignored)
        for what, names in asked.items():
            for name in names:
                if name not in known:
                    raise DeclarationError(
                        f"{what} of {self._where} names {name!r}, which is not a parameter of "
                        f"{self.function!r}. {did_you_mean(str(name), known)}".rstrip()
                    )
        self._check_clashes()
        self._check_instance()

    def _check_clashes(self) -> None:
        for name in sorted(self._ignored & ({self._id_name} | self._adapters.keys())):
            raise DeclarationError(
                f"{name!r} of {self._where} is in ignore_args and is also its id or has an adapter; "
                "leave it out of one of them."
            )
        for name, adapter in self._adapters.items():
            if not callable(adapter):
                raise DeclarationError(
                    f"arg_adapters[{name!r}] of {self._where} is {adapter!r}, which cannot be called."
                )

    def _check_instance(self) -> None:
        first = self.parameters[0].name if self.parameters else ""
        spoken_of = {self._id_name} | self._adapters.keys() | self._ignored
        if first in ("self", "cls") and first not in spoken_of:
            raise DeclarationError(
                f"{first!r} of {self._where} would have to be part of the key. Say what identifies "
                f"it: id_arg=({first!r}, lambda it: it.id), or arg_adapters={{{first!r}: ...}}, or "
                f"ignore_args=[{first!r}] if the result does not depend on it."
            )

    # -- the generated texts ---------------------------------------------------------------------

    def _key_names(self) -> list[str]:
        def counts(name: str) -> bool:
            return name not in self._ignored and (name != self._id_name or name in self._adapters)

        return [p.name for p in self.parameters if counts(p.name)]

    def _named(self, role: str, value: object) -> str:
        name = f"{self.prefix}{role}"
        self.namespace[name] = value
        return name

    def _signature(self) -> str:
        parts: list[str] = []
        kinds = [parameter.kind for parameter in self.parameters]
        for i, parameter in enumerate(self.parameters):
            kind, before = parameter.kind, kinds[i - 1] if i else None
            if before is Parameter.POSITIONAL_ONLY and kind is not before:
                parts.append("/")
            if kind is Parameter.KEYWORD_ONLY and before not in (kind, Parameter.VAR_POSITIONAL):
                parts.append("*")
            text = _STARS.get(kind, "") + parameter.name
            if parameter.default is not Parameter.empty:
                text += f"={self._named(f'default{i}', parameter.default)}"
            parts.append(text)
        if kinds and kinds[-1] is Parameter.POSITIONAL_ONLY:
            parts.append("/")
        return ", ".join(parts)

    def _items(self) -> str:
        raw, marked = self._named("raw", RAW), self._named("mark", mark)
        items = []
        if self._id_name is not None:
            items.append(self._adapted(self._id_name, self._id_adapter, "id"))
        for i, name in enumerate(self._names):
            items.append(self._adapted(name, self._adapters.get(name), f"adapter{i}"))
        walrus = f"{self.prefix}x"
        texts = [
            f"{item} if {item}.__class__ in {raw} else {marked}({item})"
            if item.isidentifier()
            else f"{walrus} if ({walrus} := {item}).__class__ in {raw} else {marked}({walrus})"
            for item in items
        ]
        return "".join(f"{text}, " for text in texts)

    def _adapted(self, name: str, adapter: Adapter | None, role: str) -> str:
        return f"{self._named(role, adapter)}({name})" if adapter is not None else name

    def _compiled(self) -> Callable[..., tuple[Hashable, ...]]:
        """The function that gives the items of the local key for the function's own arguments."""
        source = f"def bind({self.signature_source}):\n    return ({self.key_source})\n"
        namespace = dict(self.namespace)
        exec(source, namespace)  # noqa: S102 - built from the function's own parameter names
        bind: Callable[..., tuple[Hashable, ...]] = namespace["bind"]  # type: ignore[assignment]
        return bind


def _parameters(function: Any, where: str) -> list[Parameter]:
    if isinstance(function, (classmethod, staticmethod, property)):
        raise DeclarationError(
            f"{where} was put above @{type(function).__name__}; put it below, next to the function."
        )
    if not callable(function) or isinstance(function, type):
        raise DeclarationError(f"{where} is put on {function!r}, which is not a function.")
    inner = function.func if isinstance(function, partial) else function
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise DeclarationError(
            f"{where} is a generator, which can be run through only once; return a list instead."
        )
    try:
        # As it is called: what a wrapped function takes does not matter.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError) as error:
        raise DeclarationError(
            f"{where} is put on {function!r}, whose parameters Python does not know; wrap it in a "
            "function of your own."
        ) from error
    return list(signature.parameters.values())


def _passed(parameter: Parameter) -> str:
    name = parameter.name
    if parameter.kind is Parameter.KEYWORD_ONLY:
        return f"{name}={name}"
    return _STARS.get(parameter.kind, "") + name


def _free_prefix(names: Any) -> str:
    taken = tuple(names)
    prefix = "_cc_"
    while any(name.startswith(prefix) for name in taken):
        prefix = f"_{prefix}"
    return prefix
