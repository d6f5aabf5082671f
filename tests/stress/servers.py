"""Two Redis servers, one of which stands behind the address that everybody uses."""

from __future__ import annotations

import random
import time

from tests.servers import Forwarder, RedisServer

LOSING = 0.05
"""Longest time in seconds that a replica hears nothing of its master before it takes over."""


class Servers:
    """A master and a server that may take over from it.

    Args:
        folder: Where their sockets are.

    Attributes:
        address: The URL that clients connect to. Its socket is a link, as a name is that a failover
            gives to another server; that costs nothing, unlike somebody who hands on every byte.
        way: A network between some clients and the master, which may break.
        master: The server that both lead to.
    """

    def __init__(self, folder):
        self._link = folder / "redis"
        self.address = f"unix://{self._link}"
        self._sockets = {}
        self.master, self._standby = [self._made(folder / name) for name in ("one", "two")]

    def __enter__(self):
        for server in self._sockets:
            server.start()
        self.way = Forwarder(self.master)
        self._lead()
        return self

    def __exit__(self, *error):
        self.way.__exit__(*error)
        for server in self._sockets:
            server.close()

    def fail_over(self):
        """A replica takes over that has not heard of its master's last writes."""
        with Forwarder(self.master) as link:
            self._standby.follow(link)
            link.freeze()
            time.sleep(random.random() * LOSING)
            self.master.kill()
            self._standby.promote()
        self.master, self._standby = self._standby, self.master
        self._lead()
        self._standby.start()

    def _made(self, socket):
        server = RedisServer(args=["--unixsocket", str(socket)])
        self._sockets[server] = socket
        return server

    def _lead(self):
        link = self._link.with_name("next")
        link.symlink_to(self._sockets[self.master])
        link.replace(self._link)
        self.way.lead_to(self.master)
