"""What ties overrides to versions: a change of one is told by the version of a thing."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from cache_core.control.following import THING, Following, in_thread
from cache_core.control.memory import MemoryOverrides
from cache_core.protocol.drivers import run
from cache_core.protocol.fetching import version_of

if TYPE_CHECKING:
    from cache_core.control.store import OverrideStore
    from cache_core.protocol.background import Surroundings
    from cache_core.protocol.feed import FeedTable
    from cache_core.protocol.runtime import Runtime


def following_of(
    runtime: Runtime, store: OverrideStore | None, surroundings: Surroundings
) -> Following:
    """What keeps the overrides of *runtime* up to date with *store*, by default its own memory."""
    return Following(
        store or MemoryOverrides(),
        runtime.overrides,
        clock=runtime.clock,
        version=None
        if runtime.remote is None
        else lambda: run(runtime, version_of(runtime, THING)),
        begin=lambda work: in_thread(partial(surroundings.around, work)),
    )


def heed(following: Following, feed: FeedTable | None, now: float) -> None:
    """Has a scope that opens at *now* notice what was set by hand, without asking anybody.

    Args:
        following: Keeps the overrides up to date.
        feed: What the push feed knows; None where there is none.
        now: Monotonic seconds.
    """
    if now >= following.due:
        following.look(now)
    if feed is not None and following.asks and feed.usable(now):
        following.saw(feed.known(THING), now)
