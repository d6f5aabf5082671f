"""Reports that a process sends by itself."""

from __future__ import annotations

import threading

import pytest

from cache_core import Cache
from cache_core.observe.periodic import Periodic, Reporters


class Reported:
    """A report that has something to tell for as long as it is told so."""

    def __init__(self, *, news):
        self.news = news
        self.sent = threading.Event()

    def __call__(self):
        self.sent.set()
        return self.news


def test_each_cache_of_a_report_begins_it_anew(wait_until):
    """When it has ended, the next scope of any of them may have something to tell."""
    first, second = Reporters(), Reporters()
    reported = Reported(news=False)
    periodic = Periodic(reported, 0.005, name="test")
    for reporters in (first, second):
        reporters.add(periodic)
    first.wake()
    second.wake()
    wait_until(lambda: periodic._thread is None)
    wait_until(lambda: first.dormant and second.dormant)
    reported.sent.clear()
    second.wake()
    assert reported.sent.wait(20)


def test_a_thread_that_could_not_be_had_is_tried_again(monkeypatch, wait_until):
    """By the next scope, as a process that was full for a moment must not be silent for good."""
    cache, reported = Cache(), Reported(news=True)
    periodic = Periodic(reported, 0.005, name="test")
    cache.reporters.add(periodic)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        with cache.enable():
            pass
        assert cache.reporters.dormant
    with cache.enable():
        pass
    assert reported.sent.wait(20)
    cache.close()
    assert periodic._thread is None


def test_a_report_that_is_over_ends_at_once():
    """A cache that is configured again and again keeps no threads of before."""
    reporters, is_over = Reporters(), threading.Event()
    periodic = Periodic(Reported(news=True), 3600, name="over", over=is_over.is_set)
    reporters.add(periodic)
    reporters.wake()
    thread = periodic._thread
    is_over.set()
    reporters.wake()
    thread.join(20)
    assert not thread.is_alive()


def test_a_scope_ends_whatever_becomes_of_reports(monkeypatch):
    """The code after the block is outside of it, also if no report can be begun."""
    cache = Cache()
    calls = iter([None, MemoryError("no room")])

    def wake():
        if (error := next(calls)) is not None:
            raise error

    monkeypatch.setattr(cache.reporters, "wake", wake)
    cache.reporters.dormant = True
    with pytest.raises(MemoryError), cache.enable():
        pass
    assert cache.current_scope() is None
