"""Tenants: whose data a call is about, as a path such as organization 1, user 2 of it.

An entry of a tenant depends on every prefix of its path, so each of them can be invalidated. The ids
always are part of the key, in one way or another: two tenants never share an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, Union

from cache_core.errors import DeclarationError, UnkeyableValue
from cache_core.keys.function import failure, place
from cache_core.keys.text import id_text

TenantId: TypeAlias = Union[str, "tuple[str, Callable[[Any], object]]", Callable[..., object]]
"""Where a tenant's id is: the parameter that holds it, a pair of its name and a callable that takes
the id out of the argument, or a callable of all arguments."""


class Level(NamedTuple):
    """One level of a tenant path.

    Args:
        name: What it is called, for example ``"organization"``.
        parameter: The parameter that the id is in; None where it follows from all arguments.
        take: Takes the id out of the argument, or the arguments; None where the argument is the id.
    """

    name: str
    parameter: str | None
    take: Callable[..., object] | None

    @property
    def option(self) -> str:
        """Where it stands in the declaration, for messages."""
        return f"tenant[{self.name!r}]"

    def item(self, *args: Any, **kwargs: Any) -> tuple[str]:
        """The tenant's id as an item of a local key, from what it is in.

        Raises:
            UnkeyableValue: There is no id, or it has no canonical text.
        """
        take = self.take
        if take is None:
            return (tenant_text(self.name, *args),)
        try:
            return (tenant_text(self.name, take(*args, **kwargs)),)
        except Exception as error:
            raise failure(self.option, take, error) from error


def tenant_text(level: str, id: object) -> str:
    """The canonical text of a tenant's id; ``7`` and ``"7"`` are the same tenant.

    Args:
        level: The name of the level, for the error.
        id: The id; a str, an int or a UUID.

    Raises:
        UnkeyableValue: *id* is nobody's (None or empty), or has no canonical text.
    """
    text = "" if id is None else id_text(id)
    if not text:
        raise UnkeyableValue(
            f"The tenant level {level!r} has the id {id!r}, which is nobody's, so nothing is shared "
            "under it. Give the id of a tenant, or one that stands for no tenant, such as 'none'."
        )
    return text


def key_name(level: str) -> str:
    """What a level is called among the arguments of a key; no parameter has a dot in its name."""
    return f"tenant.{level}"


def levels_of(function: Callable[..., Any], tenant: object) -> tuple[Level, ...]:
    """The levels that a declaration names, from the outermost in.

    Args:
        function: The function that is declared.
        tenant: Level name -> where the id is (``TenantId``); None for none.

    Raises:
        DeclarationError: It is no mapping of that kind.
    """
    if tenant is None:
        return ()
    if not isinstance(tenant, Mapping) or not tenant:
        raise DeclarationError(
            f"{place(function)}: tenant is {tenant!r}; give a dict of level name and parameter, the "
            "outermost level first, for example {'organization': 'org_id', 'user': 'user_id'}."
        )
    return tuple([_level(function, name, given) for name, given in tenant.items()])


def _level(function: Callable[..., Any], name: object, given: object) -> Level:
    if not isinstance(name, str) or not name:
        raise DeclarationError(
            f"{place(function)}: tenant has a level called {name!r}; give a text, for example "
            "'organization'."
        )
    match given:
        case str():
            return Level(name, given, None)
        case (str() as parameter, take) if callable(take):
            return Level(name, parameter, take)
    if callable(given):
        return Level(name, None, given)
    raise DeclarationError(
        f"{place(function)}: tenant[{name!r}] is {given!r}; give the name of a parameter, a pair of "
        "its name and a callable that takes the id out of the argument, or a callable of the "
        "function's arguments."
    )
