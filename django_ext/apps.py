"""The Django app: finds the projects' ``caching.py`` modules and connects the receivers."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.core.signals import setting_changed
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from cache_core.control.following import KEY_TYPE
from django_ext.backend.checks import check_backends, check_backends_deployed
from django_ext.checks import check_deployment, check_middleware, check_settings, check_tracking
from django_ext.conf import read_tracked
from django_ext.default import cache
from django_ext.live import TAG, check_live
from django_ext.tracking import tracker
from django_ext.triggers import install_after_migrate


class CacheCoreConfig(AppConfig):
    """Starts the adapter; may stand anywhere in ``INSTALLED_APPS``."""

    name = "django_ext"
    label = "cache_core_django"
    default_auto_field = "django.db.models.BigAutoField"
    verbose_name = _("Cache")

    def ready(self) -> None:
        """Imports every app's ``caching.py``, connects receivers and checks; does no I/O."""
        autodiscover_modules("caching")
        tracker.track_declared(read_tracked())
        tracker.track("cache_core_django.UseCaseOverride", key_type=KEY_TYPE, id="use_case")
        tracker.connect()
        setting_changed.connect(cache.setting_changed)
        post_migrate.connect(install_after_migrate, sender=self)
        checks.register(check_live, TAG, checks.Tags.database, deploy=True)
        for check in (check_settings, check_tracking, check_middleware, check_backends):
            checks.register(check, checks.Tags.caches)
        for check in (check_deployment, check_backends_deployed):
            checks.register(check, checks.Tags.caches, deploy=True)
