"""The strongest tier: policies set by hand while the cache runs, as this process sees them.

Most of them are followed from where they are kept for all processes (see ``control``). Those that
are set here count for this process alone, and win over the others field by field.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cache_core.events import logger
from cache_core.fields import Problems
from cache_core.policy.policy import Policy, read_policies, read_policy

EVERYTHING = "*"
"""The name under which a snapshot speaks for all use cases."""

Changed = Callable[[frozenset[str]], object]
"""Called with the names whose override is another one now, among them perhaps "*"."""


class Overrides:
    """The overrides of one cache in this process.

    Readers take ``snapshot``: it never changes, a new one replaces it, so that reading needs no
    lock and a call that has begun sees one state.
    """

    def __init__(self) -> None:
        self._snapshot: Mapping[str, Policy] = MappingProxyType({})
        self._followed: Mapping[str, Policy] = {}
        self._here: Mapping[str, Policy] = {}
        self._subscribers: dict[object, Changed] = {}
        self._lock = threading.RLock()

    @property
    def snapshot(self) -> Mapping[str, Policy]:
        """Use case or "*" -> its override. The same object until something changes."""
        return self._snapshot

    @property
    def here(self) -> Mapping[str, Policy]:
        """What was set for this process alone."""
        return self._here

    def for_use_case(self, use_case: str) -> Policy | None:
        """What the present overrides wish for *use_case* (see ``wishes``)."""
        return wishes(self._snapshot, use_case)

    def with_followed(self, policies: Mapping[str, Policy]) -> Mapping[str, Policy]:
        """What ``snapshot`` would be if *policies* were followed."""
        return merged(self._here, policies)

    def set(self, use_case: str, policy: Policy | Mapping[str, object] | None) -> None:
        """Sets what *use_case* ("*" for all of them) is in this process alone; None removes it.

        Raises:
            ConfigurationError: The policy is not valid; the override stays what it was.
        """
        problems = Problems()
        path = f"override({use_case!r})"
        checked = None if policy is None else read_policy(policy, path, problems)
        problems.raise_any()
        with self._lock:
            here = {name: p for name, p in self._here.items() if name != use_case}
            if checked is not None:
                here[use_case] = checked
            self._here = here
            changed = self._swap()
        self.tell(changed)

    def follow(self, policies: Mapping[str, Policy]) -> frozenset[str]:
        """Makes *policies* what is followed, in one step, and tells nobody yet.

        Returns:
            What is to be told (see ``tell``), when no lock is held.

        Raises:
            ConfigurationError: A policy is not valid; the overrides stay what they were.
        """
        problems = Problems()
        wanted = read_policies(policies, "overrides", problems)
        problems.raise_any()
        with self._lock:
            self._followed = wanted
            return self._swap()

    def subscribe(self, callback: Changed) -> Callable[[], None]:
        """Calls *callback* after every change with the changed names; returns how to stop that.

        It runs in the thread that made the change. Two changes at once may be told in either
        order, so read ``snapshot`` instead of counting. A callback that raises is logged.
        """
        token = object()
        with self._lock:
            self._subscribers[token] = callback

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers.pop(token, None)

        return unsubscribe

    def after_fork(self) -> None:
        """A child process starts with a free lock."""
        self._lock = threading.RLock()

    def _swap(self) -> frozenset[str]:
        before, wanted = self._snapshot, merged(self._here, self._followed)
        names = before.keys() | wanted.keys()
        changed = frozenset(name for name in names if before.get(name) != wanted.get(name))
        if changed:
            self._snapshot = MappingProxyType(wanted)
        return changed

    def tell(self, changed: frozenset[str]) -> None:
        """Calls who has subscribed with the names that changed; nobody, where there are none."""
        if not changed:
            return
        with self._lock:
            subscribers = tuple(self._subscribers.values())
        for callback in subscribers:  # outside the lock: a callback may set an override itself
            try:
                callback(changed)
            except Exception:  # noqa: BLE001  # a subscriber must not undo what was set
                logger.exception("A subscriber failed on changed overrides and was passed over")


def merged(strong: Mapping[str, Policy], weak: Mapping[str, Policy]) -> dict[str, Policy]:
    """The policies of both; those of *strong* win field by field."""
    return {**weak, **{name: own.over(weak.get(name, Policy())) for name, own in strong.items()}}


def wishes(snapshot: Mapping[str, Policy], use_case: str) -> Policy | None:
    """What *snapshot* wishes for *use_case*, or None.

    Its own policy wins over that of "*", field by field. But a kill switch on "*" holds for
    everybody: who stops everything must not have to look for exceptions first.
    """
    own, everything = snapshot.get(use_case), snapshot.get(EVERYTHING)
    if own is None or everything is None:
        return own or everything
    both = own.over(everything)
    return both.replace(enabled=False) if everything.enabled is False else both
