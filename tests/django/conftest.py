"""Starts Django for the tests of this folder, and leaves nothing behind after each of them."""

from __future__ import annotations

import os
import threading

import django
import pytest

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from django.apps import apps  # noqa: E402
from django.core import mail  # noqa: E402
from django.db import connection, connections, transaction  # noqa: E402
from django.test import override_settings  # noqa: E402

from cache_core.events import Invalidated  # noqa: E402
from django_ext import cache  # noqa: E402
from tests.django.postgres import postgres  # noqa: E402, F401  # a fixture

mail.outbox = []  # as Django's test runners do, so that overrides are kept in memory


@pytest.fixture(autouse=True)
def clean(django_database):
    """Tests commit for real; their rows go, and so does what the process remembers."""
    cache.reload()
    yield
    models = apps.get_app_config("library").get_models(include_auto_created=True)
    # In one transaction: each COMMIT takes as long as twenty statements.
    with (
        connection.constraint_checks_disabled(),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        for model in models:
            if model._meta.managed and not model._meta.proxy:
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
    cache.close()


class Recorded:
    """A hook that keeps what was invalidated."""

    events = (Invalidated,)

    def __init__(self):
        self.things = []

    def __call__(self, event):
        self.things += event.things

    def take(self):
        """What was invalidated since the last time, as readable names.

        Without what stands for any entity of a type, which goes along with each of them.
        """
        things, self.things = self.things, []
        return {thing.strip("{}") for thing in things if not thing.endswith("+}")}


@pytest.fixture
def invalidated():
    """Records invalidations; ``invalidated.take()`` returns those since the last time."""
    hook = Recorded()
    with override_settings(CACHE_CORE={"HOOKS": [hook]}):
        yield hook


def elsewhere(function, *args):
    """What *function* returns in a thread, so on a database connection of its own."""
    results = []

    def run():
        try:
            results.append((function(*args), None))
        except BaseException as error:
            results.append((None, error))
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    ((result, error),) = results
    if error is not None:
        raise error
    return result


@pytest.fixture(name="elsewhere")
def elsewhere_fixture():
    """Runs a function in another thread, on a database connection of its own."""
    return elsewhere
