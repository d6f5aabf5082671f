"""Policies out of environment variables.

``CACHE_CORE__USE_CASES__GetUser__TTL_LOCAL=5`` sets one field of one use case. The name of a field
is that of an argument of ``Policy``; ``TTL__LOCAL`` means the same as ``TTL_LOCAL``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache_core.errors import did_you_mean
from cache_core.fields import Problems
from cache_core.policy.policy import Policy, policy_of
from cache_core.policy.reading import LAYERS, NAMES, SHORTHANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEPARATOR = "__"

_TAILS = {
    **{name.upper(): name for name in NAMES},
    **{
        f"{name}{SEPARATOR}{layer}".upper(): f"{name}_{layer}"
        for name in SHORTHANDS
        for layer in LAYERS
    },
}

_Fields = dict[str, "tuple[str, object]"]


def policies_from_environ(
    environ: Mapping[str, str], prefix: str = "CACHE_CORE", *, known: Iterable[str] = ()
) -> dict[str, Policy]:
    """Policies by use case out of the variables ``<prefix>__USE_CASES__<use case>__<FIELD>``.

    Args:
        environ: For instance ``os.environ``.
        prefix: What the names of the variables begin with.
        known: Names of use cases. A variable that differs from one only in upper and lower case
            means that one: some systems turn all names of variables into capital letters.

    Raises:
        ConfigurationError: A variable is not allowed; lists every problem by variable.
    """
    problems = Problems()
    policies = read_use_cases(environ, f"{prefix}{SEPARATOR}USE_CASES", problems, known)
    problems.raise_any()
    return policies


def read_use_cases(
    environ: Mapping[str, str], prefix: str, problems: Problems, known: Iterable[str] = ()
) -> dict[str, Policy]:
    """Policies out of the variables ``<prefix>__<use case>__<FIELD>``; notes what is wrong."""
    spelling = {name.lower(): name for name in known}
    fields: dict[str, _Fields] = {}
    for variable, rest in below(environ, prefix):
        use_case, field = _split(rest)
        if field is None or not use_case:
            _unknown(variable, f"{prefix}{SEPARATOR}<use case>{SEPARATOR}<FIELD>", rest, problems)
        else:
            use_case = spelling.get(use_case.lower(), use_case)
            _put(fields.setdefault(use_case, {}), field, variable, environ[variable], problems)
    return {name: policy_of(given, problems) for name, given in fields.items()}


def read_one(environ: Mapping[str, str], prefix: str, problems: Problems) -> Policy:
    """The policy out of the variables ``<prefix>__<FIELD>``; notes what is wrong."""
    given: _Fields = {}
    for variable, rest in below(environ, prefix):
        field = _TAILS.get(rest.upper())
        if field is None:
            _unknown(variable, f"{prefix}{SEPARATOR}<FIELD>", rest, problems)
        else:
            _put(given, field, variable, environ[variable], problems)
    return policy_of(given, problems)


def below(environ: Mapping[str, str], prefix: str) -> list[tuple[str, str]]:
    """(variable, what follows the prefix and its separator), sorted, for all below *prefix*."""
    start = prefix + SEPARATOR
    return [(name, name[len(start) :]) for name in sorted(environ) if name.startswith(start)]


def _split(rest: str) -> tuple[str, str | None]:
    """Use case and field. The use case may hold separators, so the field is found from the end."""
    for tail, field in _TAILS.items():
        if rest.upper().endswith(SEPARATOR + tail):
            return rest[: -len(SEPARATOR + tail)], field
    return rest, None


def _put(given: _Fields, field: str, variable: str, value: str, problems: Problems) -> None:
    if field in given:
        problems.twice(variable, given[field][0])
    given[field] = (variable, value)


def _unknown(variable: str, form: str, rest: str, problems: Problems) -> None:
    fields = sorted(name.upper() for name in NAMES)
    hint = did_you_mean(rest.rpartition(SEPARATOR)[2].upper(), fields)
    problems.add(variable, "unknown", f"{form} with a field of {', '.join(fields)}", hint)
