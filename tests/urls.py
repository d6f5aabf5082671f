"""The pages of the Django project that tests run in: the admin; tests add theirs with override_settings."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

urlpatterns = [path("admin/", admin.site.urls)]
