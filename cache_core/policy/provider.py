"""The tier that somebody else keeps: a feature flag service, a database table, a function.

A provider is one of:

- an object with an attribute ``snapshot``, a mapping of use cases (and "*") to policies that is
  replaced as a whole when something changes. Asking it costs a dict look-up; prefer it.
- a callable that takes the name of a use case and returns its policy.
- a callable that returns an awaitable of that: a coroutine function.

An answer is a ``Policy``, a mapping of its arguments, or None for no wish. Where a provider fails,
no layer takes part: nobody knows what it would have forbidden. A provider that can be unreachable
should keep its last snapshot.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Union, runtime_checkable

from cache_core.errors import ConfigurationError
from cache_core.events import Reason
from cache_core.fields import Problems, Refused
from cache_core.policy.overrides import EVERYTHING, wishes
from cache_core.policy.policy import Policy, read_policies, read_policy

Answer = Union[Policy, Mapping[str, Any], None]
SyncProvider = Callable[[str], Answer]
AsyncProvider = Callable[[str], Awaitable[Answer]]


@runtime_checkable
class SnapshotProvider(Protocol):
    """A provider that keeps all its policies at hand."""

    @property
    def snapshot(self) -> Mapping[str, Policy]:
        """Use case or "*" -> policy. Replaced by another mapping on change, never changed."""
        ...


AnyProvider = Union[SyncProvider, AsyncProvider, SnapshotProvider]


@dataclass(frozen=True, slots=True)
class PolicyFailure:
    """A provider raised, or answered something that is no policy. No layer takes part then.

    Two failures of one use case are equal, so that a plan made for the one serves the other.

    Attributes:
        use_case: What it was asked about.
        error: What it raised, or what is wrong with its answer.
    """

    use_case: str
    error: BaseException = field(compare=False)

    @property
    def reason(self) -> Reason:
        """What the bypass is counted under."""
        return Reason.POLICY_ERROR


class Provider:
    """One way to ask any kind of provider. Make it with ``as_provider``.

    It does not wait: an awaitable answer goes to the driver, and what the driver gets for it goes
    through ``answered``.
    """

    __slots__ = ("_source", "keeps_snapshot")

    def __init__(self, source: AnyProvider, *, keeps_snapshot: bool) -> None:
        self._source: Any = source
        self.keeps_snapshot = keeps_snapshot

    @property
    def snapshot(self) -> Mapping[str, Policy] | None:
        """The snapshot as the provider has it now; None for a callable.

        The answers stay the same for as long as this is the same object.
        """
        return self._source.snapshot if self.keeps_snapshot else None

    def ask(self, use_case: str) -> Answer | Awaitable[Answer]:
        """The raw answer for *use_case*, or an awaitable of it; raises what the provider raises.

        Raises:
            ConfigurationError: The provider's snapshot holds something that is no policy.
        """
        if not self.keeps_snapshot:
            answer: Answer | Awaitable[Answer] = self._source(use_case)
            return answer
        problems = Problems()
        snapshot = self._source.snapshot
        spoken = {name: snapshot[name] for name in (use_case, EVERYTHING) if name in snapshot}
        policies = read_policies(spoken, "snapshot", problems)
        problems.raise_any()
        return wishes(policies, use_case)

    def __repr__(self) -> str:
        return f"Provider({self._source!r})"


def as_provider(value: object) -> Provider:
    """*value* as a ``Provider``; takes no answer from it yet.

    Raises:
        Refused: It is no provider.
    """
    if isinstance(value, Provider):
        return value
    if isinstance(value, type):
        raise Refused("a provider", f"Give an instance: {value.__name__}(...).")
    if _has(value, "snapshot"):
        return Provider(value, keeps_snapshot=True)  # type: ignore[arg-type]  # just seen
    if callable(value):
        return Provider(value, keeps_snapshot=False)
    raise Refused("a callable (use_case) -> Policy | None, or an object with an attribute snapshot")


def answered(use_case: str, answer: object) -> Policy | PolicyFailure | None:
    """A provider's answer as a policy, None, or what is wrong with it; never raises.

    Args:
        use_case: What the provider was asked about.
        answer: What it answered; an exception stands for what it raised.
    """
    if answer is None or isinstance(answer, (Policy, PolicyFailure)):
        return answer
    if isinstance(answer, BaseException):
        return PolicyFailure(use_case, answer)
    problems = Problems()
    policy = read_policy(answer, f"provider({use_case!r})", problems)
    return PolicyFailure(use_case, ConfigurationError(problems.found)) if problems.found else policy


def _has(value: object, name: str) -> bool:
    # Looked up without running a property: that may ask a database, and nothing is set up yet.
    try:
        inspect.getattr_static(value, name)
    except AttributeError:
        return False
    return True
