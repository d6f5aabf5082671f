"""Tenants: whose data a call is about, as a path such as organization 1, user 2 of it.

An entry of a tenant depends on every prefix of its path, so each of them can be invalidated. The ids
always are part of the key, in one way or another: two tenants never share an entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, Union

from cache_core.errors import DeclarationError, TenantMissing, UnkeyableValue, did_you_mean
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
            TenantMissing: There is no id, or it has no canonical text.
        """
        take = self.take
        if take is None:
            return (tenant_text(self.name, *args),)
        try:
            return (tenant_text(self.name, take(*args, **kwargs)),)
        except Exception as error:
            raise TenantMissing(str(failure(self.option, take, error))) from error


def tenant_text(level: str, id: object) -> str:
    """The canonical text of a tenant's id; ``7`` and ``"7"`` are the same tenant.

    Args:
        level: The name of the level, for the error.
        id: The id; a str, an int or a UUID.

    Raises:
        TenantMissing: *id* is nobody's (None or empty), or has no canonical text.
    """
    try:
        text = "" if id is None else id_text(id)
    except UnkeyableValue as error:
        raise TenantMissing(f"The id of the tenant level {level!r} is no id. {error}") from error
    if not text:
        raise TenantMissing(
            f"The tenant level {level!r} has the id {id!r}, which is nobody's, so nothing is read or "
            "kept under it. Give the id of a tenant, or one that stands for no tenant, such as 'none'."
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


class Branch:
    """A level of a tree of tenants, with the levels below it.

    Args:
        name: What it is called, for example ``"organization"``; once in all trees.
        id: Where its id is: the name of a parameter, or a callable without arguments that finds it,
            as in the request that the running code answers. By default a parameter called as the
            level with ``_id`` behind.
        below: The levels below it.
    """

    __slots__ = ("below", "id", "name")

    def __init__(
        self, name: str, id: str | Callable[[], object] | None = None, *below: Branch
    ) -> None:
        self.name = name
        self.id = f"{name}_id" if id is None else id
        self.below = below


class Tenancy:
    """The trees of tenants of an application, each independent of the others.

    Args:
        trees: The topmost level of each.

    Raises:
        DeclarationError: Two levels have one name.

    Example:
        >>> tenants = Tenancy(
        ...     Branch("organization", "org_id", Branch("user")), Branch("project", lambda: 3)
        ... )
        >>> tenants.of("user")
        {'organization': 'org_id', 'user': 'user_id'}
        >>> tenants.path("user", organization=1, user=2), tenants.path("project")
        ({'organization': '1', 'user': '2'}, {'project': '3'})
    """

    def __init__(self, *trees: Branch) -> None:
        self._paths: dict[str, tuple[Branch, ...]] = {}
        for path in _paths(trees, ()):
            name = path[-1].name
            if name in self._paths:
                raise DeclarationError(
                    f"Two tenant levels are called {name!r}; an id would not tell which one it is "
                    "of. Give one of them another name."
                )
            self._paths[name] = path

    @property
    def levels(self) -> tuple[str, ...]:
        """The names of all levels, each after the one above it."""
        return tuple(self._paths)

    def of(self, level: str, **where: TenantId) -> dict[str, TenantId]:
        """What ``cached(tenant=...)`` is given for a function whose data belongs to *level*.

        Args:
            level: The name of a level.
            where: Where the ids of some levels are for this function, as in ``TenantId``.

        Raises:
            DeclarationError: There is no such level, or none on its path.
        """
        path = self._path(level, where)
        return {each.name: where.get(each.name) or _where(each) for each in path}

    def path(self, level: str, **ids: object) -> dict[str, str]:
        """The ids from the topmost level down to *level*, for ``invalidate_tenant`` and ``Values``.

        Args:
            level: The name of a level.
            ids: The ids; those that are left out are asked for where the level has a callable.

        Raises:
            DeclarationError: There is no such level, none on its path, or an id is missing.
            TenantMissing: An id is None or empty, has no stable text, or cannot be found.
        """
        found = {}
        for each in self._path(level, ids):
            if each.name in ids:
                found[each.name] = tenant_text(each.name, ids[each.name])
            elif isinstance(each.id, str):
                raise DeclarationError(
                    f"{level!r} is below {each.name!r}, whose id is missing; give {each.name}=..."
                )
            else:
                found[each.name] = _asked(each.name, each.id)
        return found

    def _path(self, level: str, given: Mapping[str, object]) -> tuple[Branch, ...]:
        if level not in self._paths:
            hint = did_you_mean(level, self._paths)
            raise DeclarationError(f"There is no tenant level {level!r}. {hint}".rstrip())
        path = self._paths[level]
        names = [each.name for each in path]
        for name in given:
            if name not in names:
                raise DeclarationError(
                    f"{name!r} is no level on the path {', '.join(names)}. "
                    f"{did_you_mean(name, names)}".rstrip()
                )
        return path


def _paths(branches: tuple[Branch, ...], above: tuple[Branch, ...]) -> Iterator[tuple[Branch, ...]]:
    for branch in branches:
        path = (*above, branch)
        yield path
        yield from _paths(branch.below, path)


def _asked(level: str, find: Callable[[], object]) -> str:
    try:
        return tenant_text(level, find())
    except Exception as error:
        raise TenantMissing(str(failure(f"The id of {level!r}", find, error))) from error


def _where(branch: Branch) -> TenantId:
    find = branch.id
    if isinstance(find, str):
        return find

    def found(*args: Any, **kwargs: Any) -> object:  # noqa: ARG001 - whatever the function takes
        return find()

    # What a message calls it. Not functools.wraps: the parameters are those of every function.
    found.__module__ = getattr(find, "__module__", None) or found.__module__
    found.__qualname__ = getattr(find, "__qualname__", type(find).__qualname__)
    return found
