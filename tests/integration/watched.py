"""What a Redis server sees of its clients: commands by MONITOR, round trips by INFO."""

from __future__ import annotations

from contextlib import contextmanager

SENTINEL = "the end of what is watched"
HEARTBEATS = ("PING", "CLIENT", "HELLO")
"""What only a push feed sends, besides writing its canary."""


class Watched:
    """What reached the server while it was watched.

    Attributes:
        commands: Those of clients, in order; heartbeats of feeds are left out.
        inside_scripts: Those that scripts executed.
        trips: How often the server found something to read on a connection.
    """

    def __init__(self):
        self.commands = []
        self.inside_scripts = []
        self.trips = 0

    @property
    def names(self):
        return [name(command) for command in self.commands]

    def keys(self, at):
        """The words behind the name of command number *at*."""
        return self.commands[at].split(" ")[1:]


def name(command):
    return command.split(" ", 1)[0].upper()


def reads(client):
    """How often the server has read from any connection."""
    return client.info("stats")["total_reads_processed"]


@contextmanager
def watching(connect):
    """Collects what is sent to the server meanwhile.

    Args:
        connect: Opens a plain client of it.
    """
    seen, bystander = Watched(), connect()
    with connect().monitor() as monitor:
        before = reads(bystander)
        yield seen
        seen.trips = reads(bystander) - before - 1  # the question itself
        bystander.echo(SENTINEL)
        while SENTINEL not in (entry := monitor.next_command())["command"]:
            command = entry["command"]
            if entry["client_type"] == "lua":
                seen.inside_scripts.append(command)
            elif name(command) not in HEARTBEATS and command != "INFO stats":
                seen.commands.append(command)
