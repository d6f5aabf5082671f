"""Everything that is explored, subject by subject."""

from __future__ import annotations

from cache_core.testing.simulation.scenarios import (
    ageing,
    composing,
    feeding,
    filling,
    locking,
    marks,
    outbox,
    pinning,
    requests,
    shadowing,
    snapshots,
    stores,
)

SUBJECTS = (
    filling.SUBJECT,
    requests.SUBJECT,
    snapshots.SUBJECT,
    marks.SUBJECT,
    outbox.SUBJECT,
    stores.SUBJECT,
    feeding.SUBJECT,
    pinning.SUBJECT,
    locking.SUBJECT,
    composing.SUBJECT,
    ageing.SUBJECT,
    shadowing.SUBJECT,
)
