"""What goes wrong during a run, in random order."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress

from tests.servers import ServerError


class Faults:
    """Does one harm after another to a Redis and to the processes that use it.

    Each of them is done once before any of them is done again.

    Args:
        servers: The Redis.
        members: Processes; any of them may be stopped for a while, or killed.
        lease: Seconds; processes are stopped for less and for more than that.
    """

    def __init__(self, servers, members, lease):
        self._servers = servers
        self._members = members
        self._lease = lease
        self._deck = []
        self._losses = []
        self._harms = {
            "connections killed": self._kill_connections,
            "connections reset": servers.way.cut,
            "connections silent": self._silence,
            "scripts forgotten": lambda: servers.master.command("SCRIPT", "FLUSH"),
            "snapshot taken": lambda: servers.master.command("SAVE"),
            "FLUSHALL": lambda: self._lose(servers.master.flush),
            "Redis restarted": lambda: self._lose(self._restart),
            "failover": lambda: self._lose(servers.fail_over),
            "Redis stopped": self._stop_redis,
            "process stopped": self._stop_process,
            "half of them stopped long": self._stop_half,
            "process killed": lambda: random.choice(members).kill(),
        }

    def keep_on(self, end, every, worst=""):
        """Goes on until the monotonic time *end*, with a harm after up to *every* seconds.

        Args:
            end: Until when.
            every: Longest pause in seconds.
            worst: The harm that is done first.

        Returns:
            How often which harm was done, and pairs of times between which Redis lost data.
        """
        done, self._losses = Counter(), []
        if worst:
            self._deck.append(worst)
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, random.random() * every))
            name = self._next()
            with suppress(ServerError, OSError):  # a Redis that was just stopped may be late
                self._harms[name]()
                done[name] += 1
        return done, self._losses

    def _next(self):
        if not self._deck:
            self._deck = random.sample(list(self._harms), len(self._harms))
        return self._deck.pop()

    def _kill_connections(self):
        for kind in ("normal", "pubsub"):
            self._servers.master.command("CLIENT", "KILL", "TYPE", kind)

    def _silence(self):
        """They look alive and carry nothing."""
        self._servers.way.freeze()
        time.sleep(self._lease * random.uniform(1.5, 3))
        self._servers.way.thaw()

    def _lose(self, harm):
        begun = time.monotonic()
        try:
            harm()
        finally:
            self._losses.append((begun, time.monotonic()))

    def _restart(self):
        """Empty, or with the data of the last snapshot."""
        self._servers.master.kill()
        self._servers.master.start()

    def _stop_redis(self):
        _stop([self._servers.master], random.uniform(0.02, 0.5))

    def _stop_process(self):
        _stop([random.choice(self._members)], self._lease * random.uniform(0.1, 0.9))

    def _stop_half(self):
        """They wake up with what they knew more than a lease ago."""
        half = random.sample(self._members, (len(self._members) + 1) // 2)
        _stop(half, self._lease * random.uniform(1.5, 3))


def _stop(victims, seconds):
    for victim in victims:
        victim.pause()
    try:
        time.sleep(seconds)
    finally:
        for victim in victims:
            victim.resume()
