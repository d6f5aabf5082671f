"""Overrides in a JSON file, for the processes of one host."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cache_core.control.memory import check, page
from cache_core.control.records import Change, Edit, Snapshot, fresh_revision
from cache_core.control.store import MOST_CHANGES
from cache_core.errors import ConfigurationError, OverridesUnavailable

if sys.platform == "win32":
    import msvcrt

    def _acquire(number: int) -> None:
        msvcrt.locking(number, msvcrt.LK_LOCK, 1)

    def _release(number: int) -> None:
        msvcrt.locking(number, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _acquire(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX)

    def _release(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_UN)


class FileOverrides:
    """An ``OverrideStore`` in a file that people can read, and edit while nobody writes.

    The file is replaced as a whole, so a reader finds the old or the new one. A second file beside it,
    with ``.lock`` at its end, keeps writers apart; it is never removed.

    Args:
        path: Where it is, or is to be; its folder must exist.

    Attributes:
        shared: True.
    """

    shared = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def revision(self) -> str:
        """As ``OverrideStore``; a look at the file's size and times."""
        with self._translated("read"):
            try:
                return _revision(self.path.stat())
            except FileNotFoundError:
                return ""

    def load(self) -> Snapshot:
        """As ``OverrideStore``."""
        return self._snapshot(*self._read())

    def write(self, edits: Sequence[Edit]) -> None:
        """As ``OverrideStore``."""
        with self._translated("written"), self._alone():
            revision, content = self._read()
            check(self._snapshot(revision, content), edits)
            records, history = content["overrides"], content["history"]
            for edit in edits:
                records.pop(edit.use_case, None)
                if edit.override is not None:
                    records[edit.use_case] = edit.override.to_record()
                history[:0] = [change.to_mapping() for change in reversed(edit.changes)]
            del history[MOST_CHANGES:]
            self._replace(content)

    def history(
        self, use_case: str | None = None, *, limit: int = 50, skip: int = 0
    ) -> list[Change]:
        """As ``OverrideStore``."""
        _, content = self._read()
        return page(readable(content["history"]), use_case, limit, skip)

    def when_committed(self, done: Callable[[], object]) -> None:
        """As ``OverrideStore``."""
        done()

    def describe(self) -> str:
        """As ``OverrideStore``."""
        return f"the file {self.path}"

    def close(self) -> None:
        """Nothing is open."""

    def _read(self) -> tuple[str, dict[str, Any]]:
        """The file's revision and content; nothing, where there is no file.

        Raises:
            OverridesUnavailable: It is there and cannot be read.
        """
        content: Any = {}
        revision = ""
        with self._translated("read"), suppress(FileNotFoundError), self.path.open("rb") as file:
            revision = _revision(os.fstat(file.fileno()))
            content = json.loads(file.read())
        is_mapping = isinstance(content, dict)
        parts = {"overrides": {}, "history": [], **(content if is_mapping else {})}
        kinds = (
            is_mapping,
            isinstance(parts["overrides"], dict),
            isinstance(parts["history"], list),
        )
        if not all(kinds):
            raise OverridesUnavailable(
                f"{self.describe()} does not hold overrides; mend or remove it."
            )
        return revision, parts

    def _snapshot(self, revision: str, content: dict[str, Any]) -> Snapshot:
        records = content["overrides"].items()
        return Snapshot.read(revision, {name: json.dumps(record) for name, record in records})

    def _replace(self, content: dict[str, Any]) -> None:
        written = self.path.with_name(f"{self.path.name}.{fresh_revision()}")
        try:
            with written.open("x", encoding="utf-8") as file:
                json.dump(content, file, indent=2, default=str)
                file.flush()
                os.fsync(file.fileno())
            written.replace(self.path)
        except BaseException:
            written.unlink(missing_ok=True)
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other threads and processes from writing; the lock ends with its process."""
        lock = self.path.with_name(f"{self.path.name}.lock")
        with lock.open("ab") as file:
            _acquire(file.fileno())
            try:
                yield
            finally:
                # Closing is not enough: a process that was forked meanwhile has it open, too.
                _release(file.fileno())

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, RecursionError) as error:
            raise OverridesUnavailable(f"{self.describe()} cannot be {what}: {error}") from error


def readable(history: Sequence[Any]) -> list[Change]:
    """The lines of a history that are ones, in their order."""
    found = []
    for line in history:
        with suppress(ConfigurationError):
            found.append(Change.from_mapping(line))
    return found


def _revision(stat: os.stat_result) -> str:
    return f"{stat.st_ino:x}.{stat.st_mtime_ns:x}.{stat.st_size:x}"
