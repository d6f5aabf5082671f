"""How the control page was asked for: in code, or as ``CONTROL`` among the settings of the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NoReturn

from cache_core.errors import ConfigurationError, Problem
from cache_core.fields import Problems, Refused, flag

KEY = "control"

Hook = Callable[[], Any]
"""Asked in each request whether it may: True for yes; a response is sent; all else is a no."""

Source = tuple[str, object]
"""Where a mapping of settings stands, and the mapping."""

Translate = Callable[[str], str]
"""Returns an English text in the language of the running request."""


@dataclass(frozen=True, slots=True)
class Options:
    """What ``register_control`` was given.

    Args:
        url_prefix: Where the page is; empty for the one that goes with the name of the cache.
        may_view: Says who may see it; None for nobody.
        may_change: Says who of those may change something; None for nobody.
        actor: Names who is there; None for the user that the server has authenticated.
        translate: For other languages.
    """

    url_prefix: str = ""
    may_view: Hook | None = None
    may_change: Hook | None = None
    actor: Hook | None = None
    translate: Translate | None = None


def taken_out(sources: Sequence[Source]) -> tuple[list[Source], Options | None]:
    """Settings without ``CONTROL``, and what the last of them that has it asks for.

    Args:
        sources: Where mappings of settings stand, and the mappings; the weakest first.

    Raises:
        ConfigurationError: ``CONTROL`` says what is not allowed.
    """
    rest: list[Source] = []
    wanted = None
    for path, mapping in sources:
        names = list(mapping) if isinstance(mapping, Mapping) else []
        found = [name for name in names if str(name).lower() == KEY]
        if isinstance(mapping, Mapping) and found:
            wanted = read(mapping[found[0]], f"{path}[{found[0]!r}]")
            rest.append((path, {key: mapping[key] for key in names if key not in found}))
        else:
            rest.append((path, mapping))
    return rest, wanted


def read(said: object, path: str) -> Options | None:
    """What ``CONTROL`` asks for; None where no page is wanted.

    Args:
        said: A mapping of the arguments of ``register_control``, with hooks as callables or their
            dotted paths; or whether there is to be a page at all.
        path: Where it stands.

    Raises:
        ConfigurationError: It says something else; lists every problem.
    """
    problems = Problems()
    if said is None or not isinstance(said, Mapping):
        wanted = said is not None and problems.check(path, said, flag)
        problems.raise_any()
        return Options() if wanted else None
    given = problems.known(said, path, tuple(Options.__dataclass_fields__))
    values: dict[str, Any] = {}
    for name, (at, value) in given.items():
        values[name] = problems.check(at, value, _prefix if name == "url_prefix" else hook)
    problems.raise_any()
    return Options(**{name: value for name, value in values.items() if value is not None})


def checked(options: Options, path: str) -> Options:
    """*options*, made sure of.

    Raises:
        ConfigurationError: A hook cannot be called, or the URL prefix is none.
    """
    given = {name: getattr(options, name) for name in Options.__dataclass_fields__}
    found = read({name: value for name, value in given.items() if value}, path)
    return found or options


def hook(value: object) -> Callable[..., Any]:
    """A callable, or what a dotted path like ``"shop.login:is_staff"`` leads to.

    Raises:
        Refused: It is neither.
    """
    found = _imported(value) if isinstance(value, str) else value
    if callable(found):
        return found
    raise Refused("a callable or its dotted path, as 'shop.login:is_staff'")


def refuse(path: str, found: str, expected: str, hint: str = "") -> NoReturn:
    """Raises the ``ConfigurationError`` of one problem."""
    raise ConfigurationError([Problem(path, found, expected, hint)])


def _imported(path: str) -> object:
    module, _, name = path.replace(":", ".").rpartition(".")
    try:
        return getattr(import_module(module), name)
    except Exception as error:  # whatever a module does on import is its author's to mend
        said = f"It cannot be imported: {type(error).__name__}: {error}."
        raise Refused("a callable or its dotted path", said) from error


def _prefix(value: object) -> str:
    if isinstance(value, str) and value.startswith("/") and value.strip("/"):
        return value.rstrip("/")
    raise Refused("a path like '/_cache'")
