"""A scope for each task of Celery. Importing this module imports Celery; nothing else does."""

from __future__ import annotations

from celery.signals import task_postrun, task_prerun

from django_ext.tasks import TaskScopes

_scopes = TaskScopes()


def scope_tasks(*, enabled: bool = False) -> None:
    """Gives each task a scope; call it where the Celery app is made.

    Args:
        enabled: As for ``django_ext.tasks.scope_tasks``.
    """
    _scopes.enabled = enabled
    task_prerun.connect(_begin)
    task_postrun.connect(_end)


def _begin(task_id: str, **_: object) -> None:
    _scopes.begin(task_id)


def _end(task_id: str, **_: object) -> None:
    _scopes.end(task_id)
