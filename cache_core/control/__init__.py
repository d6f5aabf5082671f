"""Control: what people set by hand while it runs, where it is kept, and how processes follow it.

``records`` are the data, ``store`` says what a store of them does, ``memory`` and ``file`` are two;
``following`` keeps a process up to date. What people call is ``cache.control``, in ``controlling``.
"""

from __future__ import annotations

from cache_core.control.records import Change, Edit, Override, Snapshot, Step
from cache_core.control.store import OverrideStore

__all__ = ["Change", "Edit", "Override", "OverrideStore", "Snapshot", "Step"]
