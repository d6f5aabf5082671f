"""Wakes up a relay when a trigger has written into the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Any

from cache_core.postgres.quoting import identifier

RETRY = 1.0
"""Seconds after which a connection that was lost is made anew."""

logger = logging.getLogger("cache_core")


class Listener:
    """Hears the NOTIFYs of a channel. It may miss some: the outbox has all there is to know.

    Args:
        connect: Makes a connection of psycopg 3 in autocommit, past all pools: LISTEN belongs to a
            session.
        channel: The channel, as ``Triggers.channel`` tells it.
    """

    def __init__(self, connect: Callable[[], Any], channel: str) -> None:
        self._connect = connect
        self._channel = channel
        self._connection: Any = None
        self._stopped = Event()
        self._fails = False

    def wait(self, seconds: float) -> bool:
        """Waits until something was written, for some seconds at most.

        A connection that was lost is made anew. What was missed meanwhile counts as written.

        Args:
            seconds: The longest wait.

        Returns:
            Whether something was written, or may have been.
        """
        try:
            if self._connection is None:
                self._listen()
                return True
            return bool(list(self._connection.notifies(timeout=seconds, stop_after=1)))
        except Exception as error:  # noqa: BLE001  # drivers differ, and sweeping goes on
            self._lost(error)
            self._stopped.wait(min(seconds, RETRY))
            return False

    def close(self) -> None:
        """Ends a wait for the database to come back, and the connection. For its own thread."""
        self._stopped.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def _listen(self) -> None:
        connection = self._connect()
        try:
            connection.execute(f"LISTEN {identifier(self._channel)}")
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        if self._fails:
            logger.info("The channel %s of PostgreSQL is heard again", self._channel)
        self._fails = False

    def _lost(self, error: Exception) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()
        if not self._fails:
            logger.warning(
                "The channel %s of PostgreSQL is not heard, so the outbox is delivered by sweeps "
                "only: %s",
                self._channel,
                error,
            )
        self._fails = True
