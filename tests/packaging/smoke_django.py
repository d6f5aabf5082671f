"""The Django adapter starts from the wheel: its app loads, its checks pass, its names are there."""

from __future__ import annotations

from io import StringIO

import django
from django.conf import settings
from django.core.management import call_command

settings.configure(
    SECRET_KEY="smoke",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_ext"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHE_CORE={},
    USE_TZ=True,
)
django.setup()
call_command("check", stdout=StringIO())


def public_names() -> dict[str, object]:
    import django_ext

    return {name: getattr(django_ext, name) for name in django_ext.__all__}


assert public_names()
print("ok")
