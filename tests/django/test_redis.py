"""Two processes' caches over one Redis: what one writes, the other sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from django.db import connections, transaction
from django.test import override_settings

from django_ext import cache
from tests.django.library.caching import get_author
from tests.django.library.models import Author

ROOT = Path(__file__).resolve().parents[2]

OTHER = """
import sys, django
django.setup()
from django.conf import settings
settings.CACHE_CORE = {"REDIS": sys.argv[1], "NAMESPACE": sys.argv[2]}
from django_ext import cache
from django.db import connections
from tests.django.library.caching import get_author
for line in sys.stdin:
    with cache.enable():
        print(get_author(int(line)), cache.stats()["use_cases"]["GetAuthor"]["loads"], flush=True)
cache.close()
connections.close_all()
"""


class Other:
    """Another process of the same project."""

    def __init__(self, url, namespace):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", OTHER, url, namespace]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.communicate(timeout=20)

    def get_author(self, author):
        """The name that the other process gives in a new request, and how often it loaded."""
        self._process.stdin.write(f"{author.pk}\n")
        self._process.stdin.flush()
        name, _, loads = self._process.stdout.readline().strip().rpartition(" ")
        return name, int(loads)


def test_a_commit_here_is_seen_there(redis_server):
    """The other process is served from Redis and its memory until the COMMIT, then it is fresh."""
    settings = {"REDIS": redis_server.patient_url, "NAMESPACE": "django-two"}
    author = Author.objects.create(name="Ada")
    with (
        override_settings(CACHE_CORE=settings),
        Other(redis_server.patient_url, "django-two") as other,
    ):
        with cache.enable():
            assert get_author(author.pk) == "Ada"
        assert other.get_author(author) == ("Ada", 0)
        with transaction.atomic():
            author.name = "Nobody"
            author.save()
            with cache.enable():
                assert get_author(author.pk) == "Nobody"
            assert other.get_author(author) == ("Ada", 0)
            author.name = "Lovelace"
            author.save()
        assert other.get_author(author) == ("Lovelace", 1)
        assert other.get_author(author) == ("Lovelace", 1)
        with cache.enable():
            assert get_author(author.pk) == "Lovelace"
        cache.close()
    connections.close_all()


def test_a_store_that_is_down_never_breaks_a_save(private_redis, caplog):
    """Redis is gone at COMMIT: the row is saved, the invalidation waits and is logged."""
    server = private_redis()
    author = Author.objects.create(name="Ada")
    with override_settings(CACHE_CORE={"REDIS": server.url, "NAMESPACE": "django-down"}):
        with cache.enable():
            assert get_author(author.pk) == "Ada"
        server.kill()
        with transaction.atomic():
            author.name = "Lovelace"
            author.save()
        with cache.enable():
            assert get_author(author.pk) == "Lovelace"
        assert cache.stats()["undelivered_invalidations"] == 1
        server.start()
        with cache.enable():
            assert get_author(author.pk) == "Lovelace"
        cache.close()
    assert "could not be delivered" in caplog.text
