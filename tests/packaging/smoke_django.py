"""The Django adapter: a request is served from the cache until a tracked model is saved."""

from __future__ import annotations

from io import StringIO

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="smoke",
    ALLOWED_HOSTS=["testserver"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django_ext"],
    MIDDLEWARE=["django_ext.middleware.CacheScopeMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    CACHE_CORE={},
    USE_TZ=True,
)
django.setup()
call_command("migrate", verbosity=0)

from django.contrib.auth.models import Group  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402

import django_ext  # noqa: E402
from django_ext import cache, track  # noqa: E402

assert all(hasattr(django_ext, name) for name in django_ext.__all__)
track(Group, key_type="group_id")


@cache.cached(key_type="group_id", id_arg="group_id", use_case="GetGroup", ttl=60)
def get_group(group_id: int) -> str:
    return Group.objects.get(pk=group_id).name


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(get_group(group.pk))


urlpatterns = [path("", page)]
call_command("check", stdout=StringIO())
group = Group.objects.create(name="one")
assert [Client().get("/").content for _ in range(2)] == [b"one", b"one"]
assert cache.stats()["use_cases"]["GetGroup"]["loads"] == 1
group.name = "two"
group.save()
assert Client().get("/").content == b"two"
connection.close()
print("ok")
