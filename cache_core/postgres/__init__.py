"""Writes of other programs to tables of PostgreSQL: triggers that write into the outbox, and a listener.

A trigger inserts what a statement changed into the outbox, in the transaction of that statement, and
wakes up relays that listen. Nothing here imports a driver: adapters bring connections.
"""

from __future__ import annotations

from cache_core.postgres.listener import Listener
from cache_core.postgres.tables import IdRule, OutboxTable, TrackedTable
from cache_core.postgres.triggers import State, Triggers

__all__ = ["IdRule", "Listener", "OutboxTable", "State", "TrackedTable", "Triggers"]
