"""The rules of the protocol, and those of which a simulation cannot tell whether they are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cache_core.testing.simulation.scenarios.case import Subject

RULES = tuple(
    [
        f"{letter}{number}"
        for letter, first, last in (
            ("K", 1, 7),  # keys
            ("V", 1, 6),  # versions
            ("M", 1, 5),  # the memo of a request
            ("R", 1, 8),  # reading
            ("F", 1, 4),  # filling
            ("W", 1, 6),  # writing
            ("T", 1, 6),  # transactions and snapshots
            ("I", 1, 8),  # marks
            ("O", 1, 6),  # the outbox
            ("E", 1, 4),  # the lineage of the store's data
            ("H", 1, 5),  # the pulse
            ("Z", 1, 11),  # the feed
            ("S", 1, 7),  # stampedes
            ("D", 1, 5),  # dependencies that are found while loading
            ("G", 1, 2),  # tenant paths
            ("C", 1, 6),  # clusters
            ("X", 0, 4),  # outages
            ("Q", 1, 1),  # questioning the cache: shadow reads
        )
        for number in range(first, last + 1)
    ]
)
"""What the protocol's rules are called."""

_SERVER = "commands of a server: tests/layers/redis and tests/integration run them against one"
_COST = "it saves round trips or memory; nothing is wrong without it"
_CHOICE = "says what is right without it, or leaves a choice"

UNSEEN = (
    ("K1 K2 K3 K4 K5", "what keys and stamps look like: tests/keys and tests/wire"),
    ("K6 K7 M2 R3 F3 I7 O6 Z10", _COST),
    ("V4 V5 H4 X1", _SERVER),
    ("V6", "births come from the store alone; nothing in a process makes one"),
    ("M5 R8 F4 W5 T6 X4", _CHOICE),
    ("R7", "what is found valid has the versions that its request goes by: there are no others"),
    ("X0", "what the scenarios with late and lost answers show to hold"),
    ("G2", "names the work that is saved by rule G1"),
    ("W3 W4 O5", "what a framework tells of its transactions: tests/django and tests/flask"),
    ("E3 E4", "how a server's replication id behaves: tests/layers/redis"),
    ("C1 C2 C3 C4 C5 C6", "clusters are not simulated"),
)
"""Rules, and why no simulation misses them."""


def missing(subjects: Iterable[Subject]) -> list[str]:
    """The rules that are neither switched off anywhere nor said to be unseen."""
    known: set[str] = set()
    for each in subjects:
        known.update(rule for off in each.off for rule in off.rule.split())
        known.update(rule for rules, _ in each.unseen for rule in rules.split())
    known.update(rule for rules, _ in UNSEEN for rule in rules.split())
    return [rule for rule in RULES if rule not in known]
