"""Every error that cache_core raises.

::

    CacheCoreError
    ├── ConfigurationError      settings or a policy are wrong; lists every problem at once
    ├── DeclarationError        a decorator's arguments do not fit the function
    │   └── UseCaseExists       two functions claim one use case name
    ├── MissingExtra            an optional package is not installed
    ├── NotConfigured           a cache was asked for work that needs a configured runtime
    ├── UnkeyableValue          an argument or id has no stable text to build a key from
    │   └── TenantMissing       a function is of a tenant, and was called without one
    ├── Unstorable              a value cannot be turned into bytes
    ├── Unreadable              bytes from a store are not an entry that we may use
    ├── RemoteError             the remote layer failed or did not answer in time
    │   └── BreakerOpen         it failed too often and is left alone for a while
    ├── InvalidationFailed      the store did not acknowledge an invalidation, and you wish to know
    ├── MarkFailed              a write could not be announced before its COMMIT (mode "strict")
    ├── OverrideConflict        somebody else has changed an override meanwhile
    ├── OverridesUnavailable    overrides cannot be read or written
    ├── LoaderFailed            a loader said that it has no value
    └── LoadTimeout             a loader took longer than its policy allows

Configuration and declaration errors raise at start-up. ``UnkeyableValue`` to ``BreakerOpen`` are
raised inside the library only: a cached call turns them into a counted miss or bypass and returns
the loader's value. ``TenantMissing`` ends a call before its loader runs. ``InvalidationFailed`` is raised where the setting ``on_invalidation_failure``
asks for it. ``MarkFailed`` stops a write before it is committed, the last two end a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cache_core.events import Reason


class CacheCoreError(Exception):
    """Base of everything raised by cache_core."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a configuration.

    Args:
        path: Where it stands, for example ``CACHE_CORE['USE_CASES']['GetUser']['ttl']``.
        found: What was found there, already safe to show (secrets masked).
        expected: What is allowed there.
        hint: What to do about it; empty when *expected* says it all.
    """

    path: str
    found: str
    expected: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path} is {self.found}; expected {self.expected}."
        return f"{text} {self.hint}" if self.hint else text


class ConfigurationError(CacheCoreError):
    """Settings or a policy are wrong.

    Attributes:
        problems: Everything that was found wrong, in the order of the settings.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        lines = "".join(f"\n  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems in the configuration:{lines}"


class DeclarationError(CacheCoreError, TypeError):
    """A decorator's arguments do not fit the function that it decorates."""


class UseCaseExists(DeclarationError):
    """Two functions claim one use case name."""


class MissingExtra(CacheCoreError, ImportError):
    """An optional package is needed and not installed."""

    def __init__(self, what: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'cache-core[{extra}]'"
        )


class NotConfigured(CacheCoreError, RuntimeError):
    """A cache was asked for work that needs a runtime, and there is none here."""


class UnkeyableValue(CacheCoreError, TypeError):
    """A value has no stable text, so no key can be built from it."""


class TenantMissing(UnkeyableValue):
    """The id of a tenant level is nobody's or cannot be told, so nothing may be read or kept."""


class Unstorable(CacheCoreError):
    """A value cannot be turned into bytes, or is larger than allowed."""


class Unreadable(CacheCoreError):
    """Bytes from a store are not an entry that we may use.

    Attributes:
        reason: Which check failed; also the label that the miss is counted under.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason


class RemoteError(CacheCoreError):
    """The remote layer failed, refused, or did not answer in time.

    Args:
        message: What happened, where, and what to do about it.
        is_outage: Whether the next operations are likely to fail as well. False where the store is
            well and only this one cannot be carried out, such as on a key of another type: the
            circuit breaker does not count it.
    """

    def __init__(self, message: str = "", *, is_outage: bool = True) -> None:
        super().__init__(message)
        self.is_outage = is_outage


class BreakerOpen(RemoteError):
    """The remote layer failed too often and is left alone for a while; it was not asked.

    Attributes:
        retry_after: Seconds until it is tried again.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__("the circuit breaker is open", is_outage=False)
        self.retry_after = retry_after


class InvalidationFailed(CacheCoreError):
    """The store did not acknowledge an invalidation; see the setting ``on_invalidation_failure``.

    Attributes:
        queued: Whether it waits in this process and is delivered when the store answers. If not,
            it is yours to repeat.
    """

    def __init__(self, message: str, *, queued: bool) -> None:
        super().__init__(message)
        self.queued = queued


class LoaderFailed(CacheCoreError):
    """A loader said that it has no value, and there is no old one to serve."""


class LoadTimeout(CacheCoreError, TimeoutError):
    """A loader took longer than the ``hard_timeout`` of its policy."""


class OverrideConflict(CacheCoreError):
    """Somebody else has changed an override since it was read; nothing was written.

    Attributes:
        use_case: Its name, or ``"*"``.
        theirs: The ``control.records.Override`` as it is now; None where there is none.
    """

    def __init__(self, use_case: str, theirs: Any) -> None:
        self.use_case = use_case
        self.theirs = theirs
        by = f" by {theirs.by}" if theirs is not None and theirs.by else ""
        what = "removed" if theirs is None else "changed"
        super().__init__(
            f"The override of {use_case!r} was {what}{by} meanwhile; look at it and repeat your change."
        )


class OverridesUnavailable(CacheCoreError):
    """The place where overrides are kept cannot be read or written just now."""


class MarkFailed(CacheCoreError):
    """A write could not be announced to its readers before COMMIT, and was to be stopped then."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the closest known name, or an empty text when none is close."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else ""
