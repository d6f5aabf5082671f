"""The page in sites of other shapes: another ``AdminSite``, another theme, or left out."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import pytest
from django.contrib import admin
from django.test import override_settings
from django.urls import clear_url_caches, path, set_urlconf

from django_ext.admin import UseCaseAdmin
from django_ext.conf import read_admin
from django_ext.models import UseCaseOverride
from tests.django.admin.conftest import NAME


class BackOffice(admin.AdminSite):
    """Says something of its own on every page."""

    site_header = "The back office"


@pytest.fixture
def office():
    """Another site, at an address of its own."""
    site = BackOffice("office")
    site.register(UseCaseOverride, UseCaseAdmin)
    urls = types.ModuleType("tests.django.admin.office_urls")
    urls.urlpatterns = [path("admin/", admin.site.urls), path("office/", site.urls)]
    sys.modules[urls.__name__] = urls
    with override_settings(ROOT_URLCONF=urls.__name__):
        clear_url_caches()
        yield "/office/cache_core_django/usecaseoverride/"
    clear_url_caches()
    set_urlconf(None)
    del sys.modules[urls.__name__]


def test_another_site_keeps_its_visitors(office, boss):
    """Its header stands there, and every link, form and redirect stays in it."""
    changed = boss.client.post(f"{office}{NAME}/change/", {"ramp_local": "5"})
    assert changed.url == office
    for page in ("", f"{NAME}/change/", f"{NAME}/history/", "explain/", "doctor/", "kill-switch/"):
        text = boss.client.get(office + page).content.decode()
        assert "The back office" in text
        assert "/admin/cache_core_django" not in text


def test_it_can_be_left_out(project):
    """By a setting, which is read when the admin looks for pages."""
    assert admin.site.is_registered(UseCaseOverride)
    for name in ("ADMIN", "admin"):
        with override_settings(CACHE_CORE={name: False}):
            assert not read_admin()
    with override_settings(CACHE_CORE={}):
        assert read_admin()


WITHOUT = """
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="x",
    INSTALLED_APPS={apps!r},
    CACHE_CORE={cache!r},
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    {more}
)
django.setup()
from django.core.checks import run_checks
assert not [each for each in run_checks() if each.level >= 40], run_checks()
import sys
print("django_ext.admin" in sys.modules)
if "django.contrib.admin" in settings.INSTALLED_APPS:
    from django.contrib import admin
    from django_ext.models import UseCaseOverride
    print(admin.site.is_registered(UseCaseOverride))
"""
AUTH = ["django.contrib.auth", "django.contrib.contenttypes"]
SITE = [*AUTH, "django.contrib.admin", "django.contrib.messages", "django.contrib.sessions"]
MORE = """
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {
        "context_processors": ["django.template.context_processors.request",
        "django.contrib.auth.context_processors.auth",
        "django.contrib.messages.context_processors.messages"]}}],
"""


UNFOLD = """
import os
from django.core.management import call_command
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
from unfold.admin import ModelAdmin
from django_ext.admin import UseCaseAdmin

assert issubclass(UseCaseAdmin, ModelAdmin)
call_command("migrate", verbosity=0)
client = Client()
client.force_login(User.objects.create_superuser("boss"))
for page in ("", "ProductPrice/change/", "kill-switch/", "invalidate/", "explain/", "doctor/"):
    text = client.get("/admin/cache_core_django/usecaseoverride/" + page).content.decode()
    assert "cache_core/unfold.css" in text, page
    assert '<h1 class="cc-title">' in text, page
print("done")
"""


def test_it_is_dressed_as_unfold_where_that_is_installed():
    """Its class, its widgets, a style sheet that gives its colours the names of the admin's."""
    pytest.importorskip("unfold")
    env = {
        "DJANGO_SETTINGS_MODULE": "tests.browser.shop.settings",
        "SHOP_THEME": "unfold",
        "SHOP_DATABASE": ":memory:",
    }
    run = subprocess.run(
        [sys.executable, "-c", UNFOLD],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.strip() == "done", run.stderr


@pytest.mark.parametrize(
    ("apps", "cache", "said"),
    [
        (["django_ext"], {}, "False"),
        (["django_ext", *SITE], {"ADMIN": False}, "True\nFalse"),
    ],
)
def test_projects_with_and_without_an_admin(apps, cache, said):
    """Nothing of the admin is imported where there is none; the order of the apps is free."""
    more = MORE if len(apps) > 1 else ""
    code = WITHOUT.format(apps=apps, cache=cache, more=more)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.stdout.strip() == said, run.stderr
