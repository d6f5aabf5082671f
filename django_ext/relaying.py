"""``manage.py cache_core relay``: delivers what processes have left in the outbox."""

from __future__ import annotations

from argparse import ArgumentParser
from time import sleep
from typing import TYPE_CHECKING, Any

from cache_core.errors import NotConfigured
from django_ext.conf import SETTING

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_ext.default import DjangoCache

VERB = "relay"
PAUSE = 1.0
"""Seconds between two looks."""


def add_arguments(verbs: Any) -> None:
    """Adds the verb to those of ``cache_core.console``."""
    text = "Deliver what processes have left in the outbox, until it is stopped."
    parser: ArgumentParser = verbs.add_parser(VERB, help=text, description=text)
    parser.add_argument("--once", action="store_true", help="look once, for cron and the like")


def relay(cache: DjangoCache, say: Callable[[str], object], *, once: bool) -> None:
    """Delivers what is due, once or every second until Ctrl-C.

    Args:
        cache: The project's cache.
        say: Prints a line.
        once: Whether to look once only.

    Raises:
        NotConfigured: The project has no outbox.
    """
    outbox = cache.outbox
    if outbox is None:
        raise NotConfigured(f"There is no outbox; set {SETTING}['OUTBOX'] = True and migrate.")
    delivered = outbox.relay()
    try:
        while not once:
            sleep(PAUSE)
            delivered += outbox.relay()
    except KeyboardInterrupt:
        pass
    say(f"{delivered} delivered")
