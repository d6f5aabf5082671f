"""What each operation is to memcached.

Versions are changed by ``cas``: it succeeds only where nobody has changed the same one since it was
read. memcached knows neither scripts nor milliseconds, so:

- Who finds no version begins with a *placeholder* (``add``), which counts as no version, and then
  replaces it as any other.
- The server's time, in whole seconds, is asked for between reading a version and replacing it. A
  change that arrived late could otherwise look older than one that it follows (rules T4, D4). The
  birth of a version is never too early, and the time that readers are told is never too late.
- A mark, a lock or an entry never ends before its time, and some seconds later at most.
"""

from __future__ import annotations

import base64
import os
import re
import socket
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import ceil
from typing import Any, NamedTuple

from cache_core.keys.key import is_coarse
from cache_core.layers.base import (
    Bump,
    Create,
    Fetch,
    Fetched,
    Lock,
    Locked,
    Mark,
    Pulse,
    RemoteOperation,
    RemoteResult,
    Store,
    Unlock,
)
from cache_core.layers.memcached.connections import Deadline, Found
from cache_core.layers.memcached.servers import Servers

QUARANTINE = "hold"
"""The mark of every quarantine; they share one, with the latest deadline."""

LATE_SECONDS = 2
"""What a server's time may be behind: the second that it hides, and one if it counts late."""

LONGEST_SECONDS = 30 * 86_400
"""memcached takes a longer life for a date."""

_PLACEHOLDER = b"+"
_STORED = b"STORED"
_HEARTBEAT_SECONDS = 10
_GONE = -1
_FAR_MS = 10**15
_PLAIN = re.compile(r"[!-~]{1,250}")
_BIRTH = re.compile(r"[n!]([0-9]{1,15})\.")
_MARK = re.compile(r"([\w-]+)@(\d{1,15})(?![^,])", re.ASCII)


class Keys:
    """Our keys in memcached: at most 250 bytes, without spaces and control characters.

    Args:
        namespace: What every key begins with.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def version(self, thing: str) -> bytes:
        """Where the version of *thing* stands."""
        return self._key("v", thing)

    def entry(self, entry: str) -> bytes:
        """Where an entry stands."""
        return self._key("e", entry)

    def lock(self, entry: str) -> bytes:
        """Where the lock on an entry stands."""
        return self._key("l", entry)

    def heartbeat(self) -> bytes:
        """What this process writes to see whether writes are taken."""
        return self._key("hb", f"{socket.gethostname()}.{os.getpid()}")

    def _key(self, family: str, name: str) -> bytes:
        text = f"{self._namespace}:{family}:{name}"
        if _PLAIN.fullmatch(text):
            return text.encode()
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
        return f"{self._namespace}:{family}:~{digest}".encode()


class Change(NamedTuple):
    """How versions are replaced.

    Args:
        ttl_ms: Life of an unmarked version of a thing that is not coarse.
        token: Of the mark that is added; empty for none.
        mark_ms: Its life.
        unmark: Token of the mark that is removed; empty for none.
        only_absent: Whether versions that stand are left alone.
    """

    ttl_ms: int
    token: str = ""
    mark_ms: int = 0
    unmark: str = ""
    only_absent: bool = False

    def is_met_by(self, version: str, looked: int | None) -> bool:
        """Whether *version*, which somebody else gave, is as good as one of our own.

        Many that invalidate the same at once need not do so one after the other.

        Args:
            version: What stands now.
            looked: The server's time in seconds when an older one stood; None if none was seen.
        """
        if self.only_absent:
            return True
        if looked is None or self.mark_ms or self.unmark:
            return False
        birth = _BIRTH.match(version)
        return birth is not None and int(birth[1]) >= _latest_ms(looked)


class Operations:
    """Operations over the keys of one namespace.

    Args:
        namespace: What every key begins with.
        servers: Where the keys are.
    """

    def __init__(self, namespace: str, servers: Servers) -> None:
        self._keys = Keys(namespace)
        self._servers = servers
        self._does: dict[type, Callable[[Any, Deadline], RemoteResult]] = {
            Bump: self._bump,
            Create: self._create,
            Fetch: self._fetch,
            Lock: self._lock,
            Mark: self._mark,
            Store: self._store,
            Unlock: self._unlock,
        }

    def perform(self, operation: RemoteOperation, deadline: Deadline) -> RemoteResult:
        """Carries out *operation*.

        Raises:
            RemoteError: A server failed, refused or was late.
        """
        return self._does[type(operation)](operation, deadline)

    def _fetch(self, operation: Fetch, deadline: Deadline) -> Fetched:
        time_ms = self._servers.time(deadline) * 1000 if operation.time else None
        things = [self._keys.version(thing) for thing in operation.things]
        entries = [self._keys.entry(entry) for entry in operation.entries]
        found = self._servers.gets([*things, *entries], deadline)
        pulse = None
        if operation.pulse:
            canary = _storing(b"set", self._keys.heartbeat(), b"1", _HEARTBEAT_SECONDS)
            pulse = Pulse("", self._servers.refusal(canary, [*things, *entries], deadline))
        versions = tuple([_version(found.get(key)) for key in things])
        return Fetched(versions, tuple([_data(found.get(key)) for key in entries]), time_ms, pulse)

    def _create(self, operation: Create, deadline: Deadline) -> tuple[str, ...]:
        change = Change(operation.ttl_ms, only_absent=True)
        return self._change(operation.things, change, deadline)

    def _bump(self, operation: Bump, deadline: Deadline) -> tuple[str, ...]:
        change = Change(operation.ttl_ms, QUARANTINE, operation.quarantine_ms, operation.unmark)
        return self._change(operation.things, change, deadline)

    def _mark(self, operation: Mark, deadline: Deadline) -> tuple[str, ...]:
        change = Change(operation.ttl_ms, operation.token, operation.mark_ms)
        return self._change(operation.things, change, deadline)

    def _change(self, things: Sequence[str], change: Change, deadline: Deadline) -> tuple[str, ...]:
        """Replaces versions until none is left that somebody else changed at the same time."""
        keys = {self._keys.version(thing): thing for thing in things}
        done: dict[bytes, str] = {}
        looked: dict[bytes, int] = {}
        while len(done) < len(keys):
            found = self._begun([key for key in keys if key not in done], deadline)
            for key in tuple(found):
                stands = _version(found[key])
                if stands is not None and change.is_met_by(stands, looked.get(key)):
                    done[key] = stands
                    del found[key]
            # After the versions were read: whatever they follow is older than this.
            times = self._servers.times(found, deadline)
            looked = {**times, **looked}
            fresh = {
                key: _fresh(keys[key], text.decode("latin-1"), times[key], change)
                for key, (text, _) in found.items()
            }
            done.update(self._replace(found, fresh, deadline))
        return tuple([done[self._keys.version(thing)] for thing in things])

    def _begun(self, keys: Sequence[bytes], deadline: Deadline) -> dict[bytes, Found]:
        """What stands under the keys of versions; a placeholder where there was nothing."""
        found = self._servers.gets(keys, deadline)
        absent = [key for key in keys if key not in found]
        if absent:
            adding = {k: _storing(b"add", k, _PLACEHOLDER, _HEARTBEAT_SECONDS) for k in absent}
            self._servers.write(adding, deadline)
            found.update(self._servers.gets(absent, deadline))
        return found

    def _replace(
        self, found: dict[bytes, Found], fresh: dict[bytes, tuple[str, int]], deadline: Deadline
    ) -> dict[bytes, str]:
        """Writes *fresh* versions in place of just those *found*; returns those that were taken."""
        commands = {
            key: _storing(b"cas", key, text.encode(), seconds, found[key][1])
            for key, (text, seconds) in fresh.items()
        }
        answers = self._servers.write(commands, deadline)
        return {key: fresh[key][0] for key, line in answers.items() if line == _STORED}

    def _lock(self, operation: Lock, deadline: Deadline) -> Locked:
        versions = self._create(Create(operation.things, operation.ttl_ms), deadline)
        lock, entry = self._keys.lock(operation.entry), self._keys.entry(operation.entry)
        token, seconds = operation.token.encode(), _seconds(operation.lock_ms)
        self._servers.write({lock: _storing(b"add", lock, token, seconds)}, deadline)
        # One after the other: whoever gets the lock sees what its last holder stored.
        holder = self._servers.gets([lock], deadline).get(lock)
        found = self._servers.gets([entry], deadline)
        return Locked(_data(holder) == token, _data(found.get(entry)), versions)

    def _unlock(self, operation: Unlock, deadline: Deadline) -> None:
        lock = self._keys.lock(operation.entry)
        holder = self._servers.gets([lock], deadline).get(lock)
        if holder is not None and holder[0] == operation.token.encode():
            # A value without life, in place of just this one: the lock of nobody else goes.
            freeing = _storing(b"cas", lock, b"", _GONE, holder[1])
            self._servers.write({lock: freeing}, deadline)

    def _store(self, operation: Store, deadline: Deadline) -> None:
        key = self._keys.entry(operation.entry)
        storing = _storing(b"set", key, operation.data, _seconds(operation.ttl_ms))
        self._servers.write({key: storing}, deadline)
        if operation.unlock:
            self._unlock(Unlock(operation.entry, operation.unlock), deadline)


def _fresh(thing: str, text: str, now: int, change: Change) -> tuple[str, int]:
    """The version that follows *text*, and its life in seconds.

    Args:
        thing: What it is the version of.
        text: What stands there now.
        now: The server's time, rounded down to seconds.
        change: How it is replaced.
    """
    now_ms, late_ms = now * 1000, _latest_ms(now)
    found = _MARK.findall(text.partition("|")[2]) if text.startswith("!") else []
    marks = {token: int(ms) for token, ms in found if now_ms < int(ms) < _FAR_MS}
    marks.pop(change.unmark, None)
    if change.mark_ms:
        marks[change.token] = max(marks.pop(change.token, 0), late_ms + change.mark_ms)
    head = f"{late_ms}.{base64.urlsafe_b64encode(os.urandom(9)).decode()}"
    if marks:
        listed = ",".join([f"{token}@{deadline}" for token, deadline in marks.items()])
        return f"!{head}|{listed}", _seconds(max(marks.values()) - now_ms)
    forever = is_coarse(thing) or not change.ttl_ms
    return f"n{head}", 0 if forever else _seconds(change.ttl_ms)


def _latest_ms(now: int) -> int:
    """What the time may really be, in milliseconds, where a server tells *now*."""
    return (now + LATE_SECONDS) * 1000


def _seconds(ms: int) -> int:
    """A life in seconds that is not over before *ms*: memcached may count the first one short."""
    return min(ceil(ms / 1000) + 1, LONGEST_SECONDS)


def _storing(name: bytes, key: bytes, data: bytes, seconds: int, cas: bytes = b"") -> bytes:
    """A storage command of the text protocol; *cas* is the number that ``cas`` needs."""
    last = b" " + cas if cas else b""
    return b"%b %b 0 %d %d%b\r\n%b\r\n" % (name, key, seconds, len(data), last, data)


def _version(found: Found | None) -> str | None:
    text = _data(found)
    return None if text is None or text == _PLACEHOLDER else text.decode("latin-1")


def _data(found: Found | None) -> bytes | None:
    return found and found[0]
