"""The tables of what people set by hand, and of its history."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import migrations, models
from django.utils import timezone

import cache_core.control.records

ID: dict[str, Any] = {
    "auto_created": True,
    "primary_key": True,
    "serialize": False,
    "verbose_name": "ID",
}
PERCENT: dict[str, Any] = {
    "blank": True,
    "decimal_places": 2,
    "max_digits": 5,
    "null": True,
    "validators": [MinValueValidator(0), MaxValueValidator(100)],
}
SECONDS: dict[str, Any] = {"blank": True, "null": True, "validators": [MinValueValidator(0)]}


class Migration(migrations.Migration):
    """Makes the tables."""

    dependencies = [("cache_core_django", "0001_outbox")]
    operations = [
        migrations.CreateModel(
            name="UseCaseOverride",
            fields=[
                ("id", models.BigAutoField(**ID)),
                (
                    "use_case",
                    models.CharField(max_length=200, unique=True, verbose_name="use case"),
                ),
                (
                    "enabled",
                    models.BooleanField(
                        blank=True,
                        help_text="Empty leaves it to settings and code.",
                        null=True,
                        verbose_name="enabled",
                    ),
                ),
                (
                    "ramp_local",
                    models.DecimalField(verbose_name="ramp of process memory, %", **PERCENT),
                ),
                (
                    "ramp_remote",
                    models.DecimalField(verbose_name="ramp of the shared store, %", **PERCENT),
                ),
                (
                    "ttl_local",
                    models.FloatField(verbose_name="TTL in process memory, seconds", **SECONDS),
                ),
                (
                    "ttl_remote",
                    models.FloatField(verbose_name="TTL in the shared store, seconds", **SECONDS),
                ),
                (
                    "more",
                    models.JSONField(
                        blank=True,
                        default=dict,
                        help_text="Other fields of a policy, by name.",
                        verbose_name="more fields",
                    ),
                ),
                ("note", models.TextField(blank=True, verbose_name="why")),
                (
                    "expires_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="From then on it says nothing.",
                        null=True,
                        verbose_name="ends at",
                    ),
                ),
                (
                    "steps",
                    models.JSONField(
                        blank=True,
                        default=list,
                        help_text=(
                            'What changes later: [{"at": seconds since 1970, "policy": {…}}, …]'
                        ),
                        verbose_name="later steps",
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        default=timezone.now, editable=False, verbose_name="changed at"
                    ),
                ),
                (
                    "updated_by",
                    models.CharField(
                        blank=True, editable=False, max_length=200, verbose_name="changed by"
                    ),
                ),
                (
                    "version",
                    models.CharField(
                        default=cache_core.control.records.fresh_revision,
                        editable=False,
                        max_length=32,
                    ),
                ),
            ],
            options={
                "verbose_name": "use case",
                "verbose_name_plural": "use cases",
                "db_table": "cache_core_override",
                "ordering": ("use_case",),
                "permissions": (("flip_kill_switch", "Can switch everything off and on"),),
                "default_permissions": ("view", "change"),
            },
        ),
        migrations.CreateModel(
            name="UseCaseOverrideChange",
            fields=[
                ("id", models.BigAutoField(**ID)),
                (
                    "use_case",
                    models.CharField(db_index=True, max_length=200, verbose_name="use case"),
                ),
                ("at", models.DateTimeField(verbose_name="at")),
                ("by", models.CharField(blank=True, max_length=200, verbose_name="by")),
                ("why", models.TextField(blank=True, verbose_name="why")),
                ("cause", models.CharField(blank=True, max_length=50, verbose_name="cause")),
                ("fields", models.JSONField(default=dict, verbose_name="fields, old and new")),
                ("version", models.CharField(blank=True, max_length=32)),
            ],
            options={
                "verbose_name": "change of an override",
                "verbose_name_plural": "changes of overrides",
                "db_table": "cache_core_override_change",
                "ordering": ("-pk",),
                "default_permissions": ("view",),
            },
        ),
    ]
