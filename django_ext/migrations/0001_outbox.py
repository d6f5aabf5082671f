"""The table of the outbox; empty and unused unless the setting OUTBOX asks for it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes the table."""

    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("things", models.JSONField(verbose_name="what was written")),
                ("due_at", models.DateTimeField(verbose_name="to be delivered from")),
                (
                    "delivered_at",
                    models.DateTimeField(db_index=True, null=True, verbose_name="delivered at"),
                ),
            ],
            options={
                "verbose_name": "undelivered invalidation",
                "verbose_name_plural": "undelivered invalidations",
                "db_table": "cache_core_outbox",
                "default_permissions": (),
            },
        ),
    ]
