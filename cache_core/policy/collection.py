"""All policies of an installation as one JSON text: kept in a file, moved between environments."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cache_core.fields import Problems
from cache_core.policy.policy import Policy, read_policies
from cache_core.policy.reading import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE = "default"
"""The section that holds for every environment."""


def dump_policies(policies: Mapping[str, Policy]) -> str:
    """*policies* as JSON text, sorted by use case; ``load_policies`` reads it back."""
    plain = {name: policy.to_mapping() for name, policy in policies.items()}
    return json.dumps(plain, indent=2, sort_keys=True, allow_nan=False)


def load_policies(text: str | bytes, *, environment: str | None = None) -> dict[str, Policy]:
    """Policies by use case out of JSON text.

    Each use case has either its policy, or a mapping of environments (and "default") to policies.
    The policy of *environment* wins over "default" field by field. The policies of the other
    environments are checked as well: they are wrong for somebody.

    Args:
        text: The JSON text.
        environment: Which environment this is; None takes "default" alone.

    Raises:
        ConfigurationError: It is no JSON, or names or values are not allowed; lists every problem.
    """
    problems = Problems()
    policies = {}
    for name, value in _parse(text, problems).items():
        path = f"policies[{name!r}]"
        if isinstance(value, dict) and _is_by_environment(value):
            policies[name] = _select(value, environment, path, problems)
        else:
            policies.update(read_policies({name: value}, "policies", problems))
    problems.raise_any()
    return policies


def _parse(text: str | bytes, problems: Problems) -> Mapping[str, object]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.add("policies", f"no JSON ({error})", "a JSON object of use cases")
        return {}
    if isinstance(parsed, dict):
        return parsed
    problems.add("policies", f"a JSON {type(parsed).__name__}", "a JSON object of use cases")
    return {}


def _is_by_environment(value: Mapping[str, object]) -> bool:
    if not value or any(key.lower() in NAMES for key in value):
        return False
    return all(part is None or isinstance(part, dict) for part in value.values())


def _select(
    sections: Mapping[str, object], environment: str | None, path: str, problems: Problems
) -> Policy:
    policies = read_policies(sections, path, problems)
    base = policies.get(BASE, Policy())
    own = policies.get(environment) if environment is not None else None
    return base if own is None else own.over(base)
