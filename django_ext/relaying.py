"""``manage.py cache_core relay``: delivers what processes and triggers have left in the outbox."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from time import sleep
from typing import TYPE_CHECKING, Any

from django.db import connections

from cache_core.errors import NotConfigured
from cache_core.postgres import Listener
from django_ext.conf import SETTING

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_ext.default import DjangoCache
    from django_ext.outbox import Outbox

    Pause = Callable[[float], object]

VERB = "relay"
PAUSE = 1.0
"""Seconds between two looks."""


def add_arguments(verbs: Any) -> None:
    """Adds the verb to those of ``cache_core.console``."""
    text = "Deliver what is left in the outbox, until it is stopped."
    parser: ArgumentParser = verbs.add_parser(VERB, help=text, description=text)
    parser.add_argument("--once", action="store_true", help="look once, for cron and the like")
    parser.add_argument(
        "--listen",
        nargs="?",
        const="",
        metavar="ALIAS",
        help="look at once when a trigger has written; ALIAS is the same database past a pooler",
    )


def relay(
    cache: DjangoCache, say: Callable[[str], object], *, once: bool, listen: str | None = None
) -> None:
    """Delivers what is due, once or every second until Ctrl-C.

    Args:
        cache: The project's cache.
        say: Prints a line.
        once: Whether to look once only.
        listen: Where to hear of triggers: an alias of DATABASES, or "" for those of the outbox.

    Raises:
        NotConfigured: The project has no outbox, or nothing to listen to.
    """
    outbox = cache.outbox
    if outbox is None:
        raise NotConfigured(f"There is no outbox; set {SETTING}['OUTBOX'] = True and migrate.")
    delivered = outbox.relay()
    try:
        with _pausing(outbox, None if once else listen) as pause:
            while not once:
                pause(PAUSE)
                while found := outbox.relay():
                    delivered += found
    except KeyboardInterrupt:
        pass
    say(f"{delivered} delivered")


@contextmanager
def _pausing(outbox: Outbox, listen: str | None) -> Iterator[Pause]:
    """What waits between two looks; a wait that triggers end where *listen* says so."""
    if listen is None:
        yield sleep
        return
    awake, stopped = Event(), Event()
    listeners = _listeners(outbox, listen)
    threads = [Thread(target=_hear, args=(each, awake, stopped)) for each in listeners]
    for thread in threads:
        thread.start()

    def pause(seconds: float) -> None:
        awake.wait(seconds)
        awake.clear()

    try:
        yield pause
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def _hear(listener: Listener, awake: Event, stopped: Event) -> None:
    while not stopped.is_set():
        if listener.wait(PAUSE):
            awake.set()
    listener.close()


def _listeners(outbox: Outbox, via: str) -> list[Listener]:
    from django_ext.triggers import triggers_of  # needs the models, which are loaded by now

    found = [using for using in outbox.tables if connections[using].vendor == "postgresql"]
    if via and (via not in connections or len(found) > 1):
        raise NotConfigured(f"--listen {via}: give an alias of DATABASES, with one outbox only.")
    if not found:
        raise NotConfigured("--listen needs an outbox in PostgreSQL; there is none.")
    drivers: list[Any] = [connections[using] for using in found]
    if not all(hasattr(each.Database, "AsyncConnection") for each in drivers):
        raise NotConfigured("--listen needs psycopg 3; psycopg2 is installed.")
    return [
        Listener(partial(_connect, via or using), triggers_of(using).channel) for using in found
    ]


def _connect(using: str) -> Any:
    """A connection of its own: LISTEN belongs to a session, which pools share."""
    wrapper: Any = connections.create_connection(using)
    return wrapper.Database.connect(**wrapper.get_connection_params(), autocommit=True)
