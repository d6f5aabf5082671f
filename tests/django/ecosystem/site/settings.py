"""A Django project with django-prometheus, django-silk and Django REST Framework beside the cache."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.django.ecosystem.site.urls"
INSTALLED_APPS += ["django_prometheus", "rest_framework", "silk"]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    *MIDDLEWARE,
    "silk.middleware.SilkyMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
DATABASES["default"]["ENGINE"] = "django_prometheus.db.backends.sqlite3"
DATABASES["default"]["OPTIONS"]["init_command"] = "PRAGMA synchronous = OFF"
# Tables are made at once; how they came to be is no subject here.
MIGRATION_MODULES = dict.fromkeys(["admin", "auth", "contenttypes", "sessions", "silk"])
CACHES = {
    "default": {"BACKEND": "django_ext.backend.LayeredCache", "LOCATION": ""},
    "theirs": {"BACKEND": "django_prometheus.cache.backends.locmem.LocMemCache"},
}
STATIC_URL = "static/"
REST_FRAMEWORK = {
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1000/min"},
    "UNAUTHENTICATED_USER": None,
}
