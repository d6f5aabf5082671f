"""A small shop with an admin, strict about what a page may load; processes share a file and a Redis."""

from __future__ import annotations

import os

SECRET_KEY = "only for tests"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.browser.shop.urls"
STATIC_URL = "/static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
THEME = os.environ.get("SHOP_THEME")
INSTALLED_APPS = [
    *([THEME] if THEME else []),
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_ext",
]
MIDDLEWARE = [
    # Other themes evaluate scripts of their own.
    *([] if THEME else ["tests.browser.shop.strict.strict"]),
    "django_ext.middleware.CacheScopeMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SHOP_DATABASE"],
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
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
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CACHE_CORE = {
    "NAMESPACE": "shop",
    "REDIS": os.environ.get("SHOP_REDIS") or None,
    "DEFAULT": {"TTL_LOCAL": 5, "TTL_REMOTE": 300},
    "USE_CASES": {"SearchSuggestions": {"RAMP": 0}},
    "FLEET_SECONDS": 1,
}
