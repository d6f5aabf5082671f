"""The ledger: what a use case gains by its cache, and what it costs.

``saved_seconds`` = hits x mean seconds of a load that did not fail. A hit counts in every layer, the
request's memory included: without a cache each of these calls would have run the loader. The mean is
that of the loads which happened, so where often read entries are slower or faster to load than others
the sum is off by as much. ``net_seconds`` takes off what the calls spent at the store.

``store_seconds`` = round trips x mean seconds of a round trip of any use case.

``bytes_kept`` = bytes written per second x TTL: what the store holds of them at most, since an entry
that is written again before its end takes the place of the old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache_core.counters import Tally
    from cache_core.policy.policy import Effective


@dataclass(frozen=True, slots=True)
class Ledger:
    """Gains and costs of one use case in this process since it started; times in seconds.

    Args:
        hits: Calls that ran no loader.
        mean_load: What a load takes; None where none has succeeded.
        saved_seconds: Loader time that the hits have saved.
        round_trips: What was asked of the store.
        mean_trip: What a look into the store takes; None as long as none was timed.
        store_seconds: Time spent there.
        net_seconds: ``saved_seconds`` without ``store_seconds``.
        bytes_read, bytes_written: Bytes of entries from and to the store.
        bytes_kept: Bytes that the store holds at most.
    """

    hits: int
    mean_load: float | None
    saved_seconds: float
    round_trips: int
    mean_trip: float | None
    store_seconds: float
    net_seconds: float
    bytes_read: int
    bytes_written: int
    bytes_kept: int

    @classmethod
    def of(cls, tally: Tally, effective: Effective, *, uptime: float, trip: float | None) -> Ledger:
        """The ledger of one use case.

        Args:
            tally: Its counters.
            effective: Its policy.
            uptime: Seconds that it was counted for.
            trip: Seconds that a look into the store takes; None where that is not known.
        """
        hits = tally.request_hits + tally.local_hits + tally.remote_hits
        load = tally.load_seconds / tally.loads if tally.loads > tally.load_failures else None
        saved, spent = hits * (load or 0.0), tally.round_trips * (trip or 0.0)
        ttl = effective.remote.ttl or 0.0
        kept = tally.bytes_written * min(1.0, ttl / uptime) if uptime > 0 else tally.bytes_written
        return cls(
            hits=hits,
            mean_load=load,
            saved_seconds=saved,
            round_trips=tally.round_trips,
            mean_trip=trip,
            store_seconds=spent,
            net_seconds=saved - spent,
            bytes_read=tally.bytes_read,
            bytes_written=tally.bytes_written,
            bytes_kept=int(kept),
        )


def lives_of(tally: Tally, ttl: float) -> dict[str, Any]:
    """How long entries hold before what they depend on changes, against their TTL.

    Args:
        tally: The counters of a use case, which hold a sample.
        ttl: Seconds that its entries live.

    Returns:
        ``refills``: filled again; ``changed``: of these, because of a change; ``until_change``: a
        histogram of the time from a fill to the change; ``changed_within_ttl``: the part of these
        changes that came before the TTL was over (None without changes).
    """
    fills = tally.fills
    within = fills.lives.share_within(ttl)
    return {
        "refills": fills.total - fills.first,
        "changed": fills.changed,
        "until_change": fills.lives.report(),
        "changed_within_ttl": None if within is None else round(within, 4),
    }
