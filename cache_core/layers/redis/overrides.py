"""Overrides in Redis: a hash of them, their revision, and a list of what was changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from cache_core.control.memory import check, page
from cache_core.control.records import Change, Edit, Snapshot, fresh_revision
from cache_core.control.store import MOST_CHANGES
from cache_core.errors import (
    ConfigurationError,
    OverrideConflict,
    OverridesUnavailable,
    RemoteError,
)
from cache_core.layers.redis.commands import Command, Replies, Script
from cache_core.layers.redis.layer import RedisLayer

if TYPE_CHECKING:
    from cache_core.layers.redis.options import RedisOptions

LOAD = Script.read("overrides_load")
WRITE = Script.read("overrides_write")
ATTEMPTS = 10


class RedisOverrides:
    """An ``OverrideStore`` in Redis.

    Its keys do not expire, and a sweep leaves them alone. It has connections of its own, so that a
    circuit breaker of the cache that is open keeps nobody from throwing a kill switch.

    Args:
        options: How to reach Redis.
        namespace: What every key of ours begins with.

    Attributes:
        shared: True.

    Raises:
        MissingExtra: The package ``redis`` is not installed.
    """

    shared = True

    def __init__(self, options: RedisOptions, *, namespace: str) -> None:
        self._redis = _Redis(options, namespace=namespace)
        # One hash tag: all of them lie on one node of a cluster, where a script reaches them.
        parts = ("revision", "records", "history")
        self._keys = tuple([f"{namespace}:o:{{overrides}}:{part}" for part in parts])

    def revision(self) -> str:
        """As ``OverrideStore``."""
        with _translated():
            (reply,) = self._redis.ask([("GET", self._keys[0])])
        return _text(reply)

    def load(self) -> Snapshot:
        """As ``OverrideStore``."""
        return _snapshot(*self._read())

    def write(self, edits: Sequence[Edit]) -> None:
        """As ``OverrideStore``."""
        for _ in range(ATTEMPTS):
            revision, records = self._read()
            check(_snapshot(revision, records), edits)
            if self._replace(edits, records):
                return
        raise OverrideConflict(edits[0].use_case, None)

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """As ``OverrideStore``."""
        with _translated():
            (lines,) = self._redis.ask([("LRANGE", self._keys[2], 0, -1)])
        return page(list(_readable(lines)), use_case, limit, skip)

    def when_committed(self, done: Callable[[], object]) -> None:
        """As ``OverrideStore``."""
        done()

    def describe(self) -> str:
        """As ``OverrideStore``."""
        return f"Redis at {self._redis.describe()}"

    def close(self) -> None:
        """As ``OverrideStore``."""
        self._redis.close()

    def _read(self) -> tuple[str, dict[str, _Record]]:
        """The revision and the records as they are, by use case."""
        with _translated():
            (reply,) = self._redis.ask([("EVAL", LOAD.text, 2, *self._keys[:2])])
            revision, flat = reply
            records = [_Record(_bytes(f), _bytes(data)) for f, data in zip(flat[::2], flat[1::2])]
            return _text(revision), {_text(record.field): record for record in records}

    def _replace(self, edits: Sequence[Edit], records: Mapping[str, _Record]) -> bool:
        """Writes *edits* where *records* still stand; whether that is so.

        It may be carried out twice, when a connection breaks off: then it finds its own records.
        """
        wanted = {e.use_case: _dumped(e) for e in edits}
        words: list[Any] = [fresh_revision(), MOST_CHANGES, len(wanted)]
        for name, data in wanted.items():
            known = records.get(name)
            words += [name, b"", data] if known is None else [*known, data]
        words += [change.dump() for edit in edits for change in edit.changes]
        with _translated():
            (done,) = self._redis.ask([("EVAL", WRITE.text, 3, *self._keys, *words)])
        if done == 1:
            return True
        _, now = self._read()
        return all((now[n].data if n in now else b"") == data for n, data in wanted.items())


class _Record(NamedTuple):
    """A *field* of the hash, which may be no text, and what stands in it."""

    field: bytes
    data: bytes


class _Redis(RedisLayer):
    """The connections of a ``RedisLayer``, for commands that it does not know."""

    def ask(self, commands: Sequence[Command]) -> Replies:
        """What Redis answers to *commands*, all of one round trip.

        Raises:
            RemoteError: Redis failed, refused or was late.
        """
        try:
            replies, _ = self._threads.get().execute(commands, self.write_timeout)
            return _accepted(replies)
        except Exception as error:
            raise self._failure(error, "overrides") from error


def _accepted(replies: Replies) -> Replies:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RemoteError as error:
        raise OverridesUnavailable(f"The overrides cannot be reached: {error}") from error
    except (TypeError, ValueError) as error:
        raise OverridesUnavailable(f"Redis gave something else than overrides: {error}") from error


def _snapshot(revision: str, records: Mapping[str, _Record]) -> Snapshot:
    return Snapshot.read(revision, {name: record.data for name, record in records.items()})


def _dumped(edit: Edit) -> bytes:
    return edit.override.dump().encode() if edit.override is not None else b""


def _readable(lines: Sequence[object]) -> Iterator[Change]:
    for line in lines:
        try:
            yield Change.parse(_bytes(line))
        except ConfigurationError:
            continue  # somebody else has written it; the others can be read


def _bytes(reply: object) -> bytes:
    """A reply as bytes; clients that others made may decode."""
    return reply if isinstance(reply, bytes) else str(reply or "").encode()


def _text(reply: object) -> str:
    """A reply for people; what is no UTF-8 in it can be told apart, and typed."""
    return _bytes(reply).decode("utf-8", "backslashreplace")
