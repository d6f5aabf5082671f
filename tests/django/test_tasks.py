"""Tasks: one scope for each, whoever runs them; and commands, which open one where they want it."""

from __future__ import annotations

import asyncio
import sys
from types import ModuleType, SimpleNamespace

import django
import pytest
from asgiref.sync import sync_to_async
from django.core.management import BaseCommand, call_command
from django.dispatch import Signal
from django.utils.decorators import method_decorator

from django_ext import cache, cache_enabled, tasks

loads = []


@cache.cached(key_type="word", id_arg="word", use_case="TaskWord", ttl=300)
def told(word):
    loads.append(word)
    return len(loads)


def scope():
    return cache._current.scope.get()


@pytest.fixture(autouse=True)
def no_loads():
    loads.clear()


@pytest.fixture
def queue(monkeypatch):
    """Django 6's signals, where Django is older, and a backend that sends them as its own does."""
    signals = ModuleType("django.tasks.signals")
    signals.task_started, signals.task_finished = Signal(), Signal()
    monkeypatch.setitem(sys.modules, "django.tasks", ModuleType("django.tasks"))
    monkeypatch.setitem(sys.modules, "django.tasks.signals", signals)

    def enqueue(function, *args, id="one"):
        result = SimpleNamespace(id=id)
        signals.task_started.send(sender=enqueue, task_result=result)
        try:
            return function(*args)
        finally:
            signals.task_finished.send(sender=enqueue, task_result=result)

    return enqueue


def test_a_task_has_a_scope(queue):
    """It begins with the task and ends with it, and caching is off in it, as in a POST."""
    tasks.scope_tasks()
    own = queue(scope)
    assert own is not None
    assert own.closed
    assert scope() is None
    assert queue(lambda: cache.is_enabled) is False


def test_caching_may_be_on_in_tasks(queue):
    """For all of them, or for one by its decorator."""
    tasks.scope_tasks()
    assert queue(cache_enabled(lambda: (told("a"), told("a")))) == (1, 1)
    tasks.scope_tasks(enabled=True)
    assert queue(lambda: (told("b"), told("b"))) == (2, 2)
    assert not cache.is_enabled


def test_a_task_remembers_nothing_of_the_last_one(queue):
    """Two tasks of one worker are two requests."""
    tasks.scope_tasks()
    assert queue(scope) is not queue(scope)


def test_to_ask_twice_makes_one_scope(queue):
    """A module that is loaded twice does no harm."""
    tasks.scope_tasks()
    tasks.scope_tasks()
    assert queue(scope).parent is None


def test_a_task_that_runs_inside_of_a_request_leaves_its_scope(queue):
    """Its own is closed, the request's goes on with what it remembers."""
    tasks.scope_tasks()
    with cache.scope() as request:
        value = told("a")
        inner = queue(scope)
        assert scope() is request
        assert not request.closed
        assert inner.parent is request
        assert (told("a"), loads) == (value, ["a"])


def test_a_write_of_a_task_is_seen_by_the_request_around_it(queue):
    """The request does not go by what it remembered before."""
    tasks.scope_tasks()
    with cache.scope():
        assert told("a") == 1
        queue(cache.invalidate, "word", "a")
        assert told("a") == 2


def test_a_task_that_is_tried_again_inside_of_itself_has_two_scopes(queue):
    """Both runs have the same id; each end closes one."""
    tasks.scope_tasks()
    seen = []

    def task(again=True):
        seen.append(scope())
        if again:
            queue(task, False)
            assert scope() is seen[0]

    queue(task)
    assert [own.closed for own in seen] == [True, True]
    assert scope() is None


def test_a_task_that_raises_leaves_nothing_behind(queue):
    """Its end is told all the same."""
    tasks.scope_tasks()
    with pytest.raises(ZeroDivisionError):
        queue(lambda: 1 / 0)
    assert scope() is None


def test_an_end_that_is_not_told_is_made_up_for(queue):
    """The task around it ends both."""
    tasks.scope_tasks()
    begun = []

    def outer():
        tasks._scopes.begin("lost")
        begun.append(scope())

    queue(outer)
    assert begun[0].closed
    assert scope() is None


def test_an_end_without_a_beginning_is_no_matter(queue):
    """As for the task that was running when the project began to listen."""
    tasks.scope_tasks()
    tasks._scopes.end("unheard of")

    def task():
        tasks._scopes.end("unheard of")
        assert not scope().closed

    queue(task)


def test_tasks_of_an_event_loop_are_apart(queue):
    """Each runs in a context of its own."""
    tasks.scope_tasks()

    async def main():
        run = sync_to_async(queue, thread_sensitive=False)
        return await asyncio.gather(run(scope, id="one"), run(scope, id="two"))

    one, other = asyncio.run(main())
    assert one is not other
    assert (one.parent, other.parent) == (None, None)


def test_before_django_had_tasks_it_does_nothing(monkeypatch):
    """A project may say it for all versions."""
    monkeypatch.setitem(sys.modules, "django.tasks.signals", None)
    tasks.scope_tasks()


def note():
    loads.append(scope())


@pytest.mark.skipif(django.VERSION < (6,), reason="Django has tasks since version 6.0")
def test_djangos_own_backend_tells_of_tasks():
    """The one that runs them at once, inside of the request."""
    from django.tasks import task

    tasks.scope_tasks()
    with cache.scope() as request:
        task(note).enqueue()
        assert scope() is request
    assert loads[0].parent is request
    assert loads[0].closed


# -- commands --------------------------------------------------------------------------------------


class Plain(BaseCommand):
    def handle(self, *args, **options):
        told("a")
        told("a")


class Cached(Plain):
    handle = method_decorator(cache_enabled)(Plain.handle)


@pytest.mark.parametrize(("command", "number"), [(Plain, 2), (Cached, 1)])
def test_a_command_is_cached_where_it_says_so(command, number):
    """A management command has no scope; the decorator of views opens one for its handle()."""
    call_command(command())
    assert len(loads) == number
    assert scope() is None
