"""A scope for each task that a worker runs, as the middleware opens one for each request.

A task may also run inside of a request, or of another task, when its queue is told to run tasks at
once. So scopes nest: the one around it is as it was when the task ends.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any

from django_ext.default import cache

if TYPE_CHECKING:
    from cache_core.protocol.scope import Scope

_Running = tuple[tuple[str, "AbstractContextManager[Scope]"], ...]


class TaskScopes:
    """Begins and ends the scopes of tasks, for queues that tell of both by signals.

    Attributes:
        enabled: Whether caching is on in tasks from the start.
    """

    def __init__(self) -> None:
        self.enabled = False
        self._running: ContextVar[_Running] = ContextVar("cache_core_tasks", default=())

    def begin(self, task_id: str) -> None:
        """Opens the scope of a task."""
        block = cache.scope(self.enabled)
        block.__enter__()
        self._running.set((*self._running.get(), (task_id, block)))

    def end(self, task_id: str) -> None:
        """Closes the scope of a task, and those of tasks in it whose end nobody told."""
        running = self._running.get()
        if task_id not in dict(running):
            return  # it began before anybody listened
        ended = ""
        while ended != task_id:
            *outer, (ended, block) = running
            running = tuple(outer)
            block.__exit__(None, None, None)
        self._running.set(running)


_scopes = TaskScopes()


def scope_tasks(*, enabled: bool = False) -> None:
    """Gives each of Django's own tasks a scope, whatever backend runs it; call it in ``caching.py``.

    Django has tasks since version 6.0; before that, this does nothing.

    Args:
        enabled: Whether caching is on in tasks from the start. By default it is not, as in a POST
            request: a task that writes should not decide by what is cached. ``@cache_enabled``
            switches it on for one task.
    """
    try:
        signals = import_module("django.tasks.signals")
    except ImportError:
        return
    _scopes.enabled = enabled
    signals.task_started.connect(_begin)
    signals.task_finished.connect(_end)


def _begin(*, task_result: Any, **_: object) -> None:
    _scopes.begin(task_result.id)


def _end(*, task_result: Any, **_: object) -> None:
    _scopes.end(task_result.id)
