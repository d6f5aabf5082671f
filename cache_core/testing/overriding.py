"""Other policies for the time of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

from cache_core.cache import Cache
from cache_core.policy.overrides import EVERYTHING
from cache_core.policy.policy import Policy
from cache_core.testing.blocks import TestBlock
from cache_core.testing.counting import cached_function

if TYPE_CHECKING:
    from cache_core.protocol.runtime import Runtime
    from cache_core.settings import Settings

Overridden: TypeAlias = "Cache | Callable[..., Any]"
"""A cached function, or a cache for all of its use cases."""


def override_policy(
    target: Overridden, policy: Policy | None = None, *, use_case: str = "", **fields: Any
) -> TestBlock:
    """Sets an override of the policy for a block, a test, or each test of a class.

    An override that stands already gives way in those fields only that are named.

    Args:
        target: What ``cached`` returned; or a cache, for all of its use cases.
        policy: What to override; or give its fields by name.
        use_case: Where *target* is a cache: the name of the only use case that is meant.
        fields: Arguments of ``Policy``.

    Raises:
        ConfigurationError: A field is not allowed.
        DeclarationError: *target* is not a cached function, or no such use case was declared; the
            latter when the block is entered.
    """
    wanted = Policy(**fields) if policy is None else policy.replace(**fields)
    if isinstance(target, Cache):
        return TestBlock(partial(_overridden, target, use_case or EVERYTHING, wanted))
    own = cached_function(target)
    return TestBlock(partial(_overridden, own.cache, own.use_case.name, wanted))


def override_ramp(
    target: Overridden,
    ramp: float | None = None,
    *,
    local: float | None = None,
    remote: float | None = None,
    use_case: str = "",
) -> TestBlock:
    """Sets the ramp for a block, a test, or each test of a class.

    Args:
        target: As for ``override_policy``.
        ramp: Percentage (0 to 100) for both layers.
        local: That of the local layer alone.
        remote: That of the remote layer alone.
        use_case: As for ``override_policy``.

    Raises:
        TypeError: No ramp was given, or one for both layers and for a single one.
    """
    return override_policy(target, ramp_policy(ramp, local=local, remote=remote), use_case=use_case)


def ramp_policy(ramp: float | None, *, local: float | None, remote: float | None) -> Policy:
    """The policy of ``override_ramp``, which tells of the arguments and the errors."""
    if (ramp is None) == (local is None and remote is None):
        raise TypeError("override_ramp() takes one ramp for both layers, or local= and remote=")
    if ramp is not None:
        local = remote = ramp
    return Policy(ramp_local=local, ramp_remote=remote)


@contextmanager
def _overridden(cache: Cache, use_case: str, policy: Policy) -> Iterator[None]:
    """Overrides the policy in the runtime of *cache*, and in those that take its place meanwhile."""
    if use_case != EVERYTHING:
        cache.policy(use_case)  # says whether there is such a use case
    done: list[tuple[Runtime, Policy | None]] = []
    build = cache._build  # noqa: SLF001 - of one package

    def override(runtime: Runtime) -> None:
        before = runtime.overrides.here.get(use_case)
        done.append((runtime, before))
        runtime.overrides.set(use_case, policy if before is None else policy.over(before))

    def building(settings: Settings) -> Runtime:
        runtime = build(settings)
        override(runtime)
        return runtime

    override(cache.runtime)
    try:
        with patch.object(cache, "_build", building):
            yield
    finally:
        for runtime, before in done:
            runtime.overrides.set(use_case, before)
