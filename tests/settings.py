"""The Django project that tests run in; the database is a file, so that threads share it."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

DATABASE_VARIABLE = "CACHE_CORE_TEST_DATABASE" + os.environ.get("PYTEST_XDIST_WORKER", "")


def _database() -> str:
    """A new temporary file, or the one of the process that started this one."""
    if DATABASE_VARIABLE not in os.environ:
        folder = tempfile.mkdtemp(prefix="cache-core-django-")
        owner = os.getpid()
        atexit.register(lambda: os.getpid() == owner and shutil.rmtree(folder, ignore_errors=True))
        os.environ[DATABASE_VARIABLE] = str(Path(folder) / "tests.sqlite3")
    return os.environ[DATABASE_VARIABLE]


SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django_ext",
    "tests.django.library",
]
MIDDLEWARE = [
    "django_ext.middleware.CacheScopeMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _database(),
        # No test cuts the power.
        "OPTIONS": {"timeout": 20, "init_command": "PRAGMA synchronous=OFF"},
    }
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
# Fast; nothing real is hashed.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHE_CORE: dict[str, object] = {}
