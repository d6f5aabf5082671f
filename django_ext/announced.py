"""Announced writes: statements of which signals tell what rows they write.

Django sends a signal before a row is saved or deleted and one after it. The statements in between
need no further look: the signals name the entities. Every other statement does.

Django tells nobody of a save that fails. So whether an announced write is still under way is asked
of the stack: it is as long as the call that sent the signal has not ended. What a receiver does
meanwhile is a write of its own.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from django.dispatch import Signal

if TYPE_CHECKING:
    from cache_core.sqltext import Write
    from django_ext.transactions import Written

_SEND = Signal.send.__code__

MANY = 1 << 62
"""Rows of a write that may be any number."""


class Announcement:
    """What one call has said that it is about to write.

    Attributes:
        rows: How many rows of which table, by which verb.
        written: The entities of these rows, as far as they are known ahead.
        delivered: Those that were told of when the statement was through.
        is_used: Whether a statement was through.
        pending: How many signals are still to tell that it is done.
    """

    __slots__ = ("delivered", "is_used", "pending", "rows", "written")

    def __init__(self) -> None:
        self.rows: Counter[Write] = Counter()
        self.written: set[Written] = set()
        self.delivered: set[Written] = set()
        self.is_used = False
        self.pending = 0

    def add(self, writes: Iterable[Write], written: Iterable[Written], rows: int) -> None:
        """Notes more of it."""
        self.written.update(written)
        for write in writes:
            self.rows[write] += rows


class Announced:
    """The announced writes of one connection, by the calls that make them."""

    __slots__ = ("_blocks", "_by_call", "_left")

    def __init__(self) -> None:
        self._by_call: dict[FrameType, Announcement] = {}
        self._left: list[Write] = []
        self._blocks: list[Announcement] = []

    @contextmanager
    def during(
        self, writes: Iterable[Write], written: Iterable[Written], rows: int
    ) -> Iterator[None]:
        """What the block writes is told of by whoever opens it."""
        announcement = Announcement()
        announcement.add(writes, written, rows)
        self._blocks.append(announcement)
        try:
            yield
        finally:
            self._blocks.remove(announcement)

    def open(self, writes: Iterable[Write], written: Iterable[Written], rows: int = 1) -> None:
        """Notes what the call is about to write whose signal is being received."""
        call = _sender()
        if call is None:
            return  # sent in a way that we do not know; its statements are looked at
        if self._by_call:
            self._drop_ended(call)
        announcement = self._by_call.setdefault(call, Announcement())
        announcement.pending += 1
        announcement.add(writes, written, rows)

    def close(self) -> Announcement | None:
        """The write is done whose signal is being received; returns what was said of it."""
        call = _sender() if self._by_call else None
        announcement = None if call is None else self._by_call.get(call)
        if call is not None and announcement is not None:
            announcement.pending -= 1
            if announcement.pending <= 0:
                del self._by_call[call]
        return announcement

    def current(self) -> Announcement | None:
        """What was said by the call that runs the current statement, if any."""
        if self._blocks:
            return self._blocks[-1]
        if not self._by_call:
            return None
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # what the stack is asked with
        while frame is not None and frame.f_code is not _SEND:
            announcement = self._by_call.get(frame)
            if announcement is not None:
                return announcement
            frame = frame.f_back
        return None

    def take_left(self) -> list[Write]:
        """What was written by calls that ended without a signal after it.

        A receiver of somebody else may raise before ours is reached.
        """
        if self._by_call:
            self._drop_ended(sys._getframe(1))  # noqa: SLF001  # as above
        left, self._left = self._left, []
        return left

    def _drop_ended(self, frame: FrameType | None) -> None:
        """Drops what was announced by calls that are not below *frame*."""
        running: dict[FrameType, Announcement] = {}
        while frame is not None:
            if frame in self._by_call:
                running[frame] = self._by_call[frame]
            frame = frame.f_back
        for call, announcement in self._by_call.items():
            if announcement.is_used and call not in running:
                self._left += announcement.rows
        self._by_call = running


def _sender() -> FrameType | None:
    """The call that has sent the signal which is being received."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # as above
    while frame is not None and frame.f_code is not _SEND:
        frame = frame.f_back
    return None if frame is None else frame.f_back
