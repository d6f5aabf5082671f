"""Celery: one scope for each task, in workers and where tasks run at once."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import Celery
from celery.contrib.testing.worker import start_worker

from django_ext import cache, cache_enabled
from django_ext.celery import scope_tasks

seen = []
loads = []


@cache.cached(key_type="word", id_arg="word", use_case="CeleryWord", ttl=300)
def told(word):
    loads.append(word)
    return len(loads)


@pytest.fixture(autouse=True)
def _logging():
    """A worker sets the level of every logger there is."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)


@pytest.fixture
def app():
    seen.clear()
    loads.clear()
    made = Celery("tests", broker="memory://", backend="cache+memory://", set_as_current=False)
    made.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=False)
    scope_tasks()
    yield made
    made.close()


@pytest.fixture
def eager(app):
    app.conf.task_always_eager = True
    return app


def note():
    seen.append(cache._current.scope.get())


def test_a_task_of_a_worker_has_a_scope(app):
    """In the worker's thread; it ends with the task."""

    @app.task(shared=False)
    def ping():
        note()
        seen.append((cache.is_enabled, threading.current_thread()))
        return "pong"

    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=60):
        assert ping.delay().get(timeout=60) == "pong"
    scope, (enabled, thread) = seen
    assert scope.closed
    assert not enabled
    assert thread is not threading.current_thread()


def test_a_task_that_runs_at_once_leaves_the_requests_scope(eager):
    """Its scope lies inside of the request's, which goes on."""
    task = eager.task(note, shared=False)
    with cache.scope() as request:
        task.delay()
        assert cache._current.scope.get() is request
        assert cache.is_enabled
        assert not request.closed
    assert seen[0].parent is request
    assert seen[0].closed


def test_a_task_that_is_tried_again_at_once_leaves_nothing(eager):
    """Both runs have one id."""

    @eager.task(bind=True, max_retries=1, shared=False)
    def task(self):
        note()
        if not self.request.retries:
            raise self.retry(countdown=0)

    task.delay()
    assert [scope.closed for scope in seen] == [True, True]
    assert cache._current.scope.get() is None


def test_a_task_that_fails_leaves_nothing(eager):
    """Celery tells of its end all the same."""

    @eager.task(shared=False)
    def task():
        note()
        raise ValueError

    assert task.delay().failed()
    assert seen[0].closed
    assert cache._current.scope.get() is None


def test_a_task_may_be_cached(eager):
    """By the decorator that views have, below that of Celery."""

    @eager.task(shared=False)
    @cache_enabled
    def task():
        return told("a"), told("a")

    assert task.delay().get() == (1, 1)


def test_nothing_else_imports_celery():
    """A project that does not ask for it does not load it."""
    code = (
        "import sys, django_ext, django_ext.tasks, django_ext.middleware; "
        "assert 'celery' not in sys.modules; "
        "import django_ext.celery; assert 'celery' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
