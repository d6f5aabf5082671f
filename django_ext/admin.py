"""The admin page where use cases are ramped up and switched off.

Django imports this when it looks for what the apps put into the admin. ``CACHE_CORE["ADMIN"] = False``
leaves the page out of the site; ``site.register(UseCaseOverride, UseCaseAdmin)`` puts it into another.
"""

from __future__ import annotations

from django.contrib import admin

from django_ext.admin_pages.use_cases import UseCaseAdmin
from django_ext.conf import read_admin
from django_ext.models import UseCaseOverride

if read_admin():
    admin.site.register(UseCaseOverride, UseCaseAdmin)

__all__ = ["UseCaseAdmin"]
