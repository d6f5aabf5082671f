"""Whether the admin has another look."""

from __future__ import annotations

from django.apps import apps

HAS_UNFOLD = apps.is_installed("unfold")
"""Whether it is that of django-unfold."""
