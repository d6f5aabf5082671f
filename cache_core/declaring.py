"""What ``cached()`` is given: what no parameter takes, and the decorator's tier of the policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from inspect import signature
from typing import Any

from cache_core.errors import DeclarationError, Unstorable, did_you_mean
from cache_core.fields import seconds_of
from cache_core.keys.binding import Binding
from cache_core.keys.function import ONE_VALUE, check_helper, failure, place
from cache_core.policy.policy import Policy
from cache_core.protocol.call import TtlOfResult

_OF_POLICIES = [name for name in signature(Policy).parameters if name != "self"]


def refuse_unknown(given: Mapping[str, object], known: Collection[str]) -> None:
    """Refuses arguments that ``cached()`` does not have.

    Args:
        given: What no parameter took.
        known: The parameters.

    Raises:
        DeclarationError: There are some; says where each belongs, or what it may be meant for.
    """
    for name, value in given.items():
        advice = (
            f"it is a field of policies: cached(policy=Policy({name}={value!r}, ...))"
            if name in _OF_POLICIES
            else did_you_mean(name, known) or f"it takes {', '.join(known)}"
        )
        raise DeclarationError(f"cached() was given {name}=, which it does not have; {advice}")


def tier_of(policy: Policy | None, ttl: Any, ramp: Any) -> Policy:
    """The decorator's tier of the policy.

    Raises:
        DeclarationError: *policy* is none, or came together with one of the others.
        ConfigurationError: A value is not allowed.
    """
    given: object = policy
    if given is None:
        return Policy(ttl=ttl, ramp=ramp)
    if not isinstance(given, Policy):
        raise DeclarationError(
            f"cached() was given {given!r} in policy=; give a cache_core.Policy, as in "
            'policy=Policy(ttl="5m")'
        )
    if not (ttl is None and ramp is None):
        raise DeclarationError(
            "cached() was given policy= together with ttl= or ramp=; put them all into policy="
        )
    return given


def check_accept(accept: object, function: object) -> None:
    """Refuses what cannot be asked whether a kept value may be served; None asks nobody.

    Raises:
        DeclarationError: It is not callable, does not take a value, or must be awaited.
    """
    if accept is None:
        return
    if not callable(accept):
        raise DeclarationError(
            f"{place(function)}: accept is a {type(accept).__name__}; give a callable of a value "
            "that returns whether it may be served."
        )
    check_helper(accept, "accept", function, ONE_VALUE)


def ttl_of_result(given: Callable[..., Any] | None, binding: Binding) -> TtlOfResult | None:
    """How long each result lives, by a callable of the result and the function's arguments.

    Args:
        given: What the declaration has; None for nothing.
        binding: How the function's arguments become a key.

    Returns:
        Takes a result, args and kwargs, and gives seconds, None for what the policy says. It raises
        ``Unstorable`` where *given* fails or gives no duration: the result is not kept then.

    Raises:
        DeclarationError: *given* does not take these arguments, or must be awaited.
    """
    if given is None:
        return None
    if not callable(given):
        raise DeclarationError(
            f"{place(binding.function)}: result_ttl is a {type(given).__name__}; give a callable of a "
            "result and the function's arguments that returns how long it lives, or ttl=."
        )
    check_helper(given, "result_ttl", binding.function, [*ONE_VALUE, *binding.parameters])

    def ttl(value: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float | None:
        try:
            said = given(value, *args, **kwargs)
            return None if said is None else seconds_of("what it gave", said)
        except Exception as error:
            raise Unstorable(str(failure("result_ttl", given, error))) from error

    return ttl
