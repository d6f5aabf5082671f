"""Tests that run on PostgreSQL as well as on SQLite."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connections

from tests.postgres import PostgresServer, require_postgres


def settings_of(server):
    """What Django connects with."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "postgres",
        "HOST": server.host,
        "PORT": str(server.port),
    }


@contextmanager
def as_default(settings):
    """Django's database is another one inside of the block, in new threads too."""
    ours, wrapper = connections.settings["default"], connections["default"]
    wrapper.close()
    connections.settings["default"] = connections.configure_settings({"default": settings})[
        "default"
    ]
    del connections["default"]
    ContentType.objects.clear_cache()  # which knows keys by the alias of their database
    try:
        yield connections["default"]
    finally:
        ContentType.objects.clear_cache()
        connections["default"].close()
        connections.settings["default"] = ours
        connections["default"] = wrapper


@pytest.fixture(scope="session")
def postgres(django_database):
    """One PostgreSQL for the whole run, with the tables of the test project."""
    require_postgres()
    with PostgresServer() as server:
        with as_default(settings_of(server)):
            call_command("migrate", verbosity=0)
            call_command("migrate", run_syncdb=True, verbosity=0)  # refers to tables of the first
        yield server
