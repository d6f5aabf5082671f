"""A process that measurements are taken in; see ``measure``."""

from __future__ import annotations

import logging
import os
import threading
import time

from cache_core import Cache, Policy
from cache_core.clock import SystemClock
from cache_core.protocol.feed import FeedTable
from cache_core.protocol.lease import Lease
from tests.integration.process import serve
from tests.integration.row import until
from tests.integration.site import SECRET

MODULE = "tests.integration.measured"
CLOCK = SystemClock()
VERSION = "0123456789abcdefn1790000000000.abcdefghijkl"


class Worker:
    """Carries out commands.

    Args:
        port: Of Redis.
        consistency: The mode of its cache.
    """

    def __init__(self, port, consistency="request"):
        patient = {"connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
        self._cache = Cache(
            redis={"port": port, **patient},
            secrets=(SECRET,),
            consistency=consistency,
            default=Policy(ttl=300),
        )
        self._seen = {}
        self._loads = []
        self._is_computing = False
        self._load_seconds = 0.0

        @self._cache.cached(key_type="row", id_arg="row", use_case="GetRow")
        def get(row):
            self._loads.append(row)
            time.sleep(self._load_seconds)
            return row

        self._get = get

    def listen(self):
        """Notes from now on when the feed has taken in what changed."""
        self._read(0), self._read(0)
        table = self._cache.runtime.feed
        until(lambda: table.usable(CLOCK.monotonic()))
        pushed = table.pushed

        def noted(things):
            pushed(things)
            now = time.monotonic()
            self._seen.update(dict.fromkeys(things or (), now))

        table.pushed = noted

    def compute(self):
        """Keeps the interpreter busy from now on."""
        threading.Thread(target=self._compute, daemon=True).start()

    def seen(self):
        """Thing -> when the feed had taken in that it changed."""
        return self._seen

    def bump(self, rows, pause):
        """Thing -> when its bump was acknowledged."""
        acknowledged = {}
        for row in rows:
            self._cache.invalidate("row", row)
            acknowledged[f"{{row:{row}}}"] = time.monotonic()
            time.sleep(pause)
        return acknowledged

    def call_at(self, then, row, threads, load_seconds):
        """Calls at the monotonic time *then* in each thread; returns seconds, and loads."""
        self._load_seconds = load_seconds
        self._loads.clear()
        seconds = []

        def call():
            time.sleep(max(0.0, then - time.monotonic()))
            begun = time.monotonic()
            self._read(row)
            seconds.append(time.monotonic() - begun)

        started = [threading.Thread(target=call) for _ in range(threads)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
        return {"seconds": seconds, "loads": len(self._loads)}

    def fill_table(self, number):
        """Bytes that *number* versions take in a feed's table, their texts included."""
        before = resident()
        table = FeedTable(4 * number, lease=Lease())
        table.connected(VERSION[:16], CLOCK.monotonic())
        for row in range(number):
            things = (f"{{row:{row}}}",)
            table.keep(things, (f"{VERSION}{row % 10}",), table.reserve(things))
        assert len(table) == number
        return resident() - before

    def close(self):
        self._is_computing = False
        self._cache.close()

    def _compute(self):
        self._is_computing = True
        while self._is_computing:
            sum(range(1_000))

    def _read(self, row):
        with self._cache.enable():
            return self._get(row)


def resident():
    """Bytes of memory that this process has."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - nothing to be opened twice
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    logging.disable()
    serve(Worker)
