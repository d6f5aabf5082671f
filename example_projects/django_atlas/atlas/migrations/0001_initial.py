"""The tables of countries and cities."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Country",
            fields=[
                (
                    "code",
                    models.CharField(
                        max_length=2, primary_key=True, serialize=False, verbose_name="ISO code"
                    ),
                ),
                ("name", models.CharField(max_length=100)),
                ("continent", models.CharField(max_length=20)),
                ("capital", models.CharField(blank=True, max_length=100)),
                ("area", models.FloatField(verbose_name="area in square kilometres")),
                ("population", models.BigIntegerField()),
            ],
            options={
                "verbose_name_plural": "countries",
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="City",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "other_names",
                    models.TextField(blank=True, verbose_name="names in other languages"),
                ),
                ("latitude", models.FloatField()),
                ("longitude", models.FloatField()),
                ("population", models.BigIntegerField()),
                ("timezone", models.CharField(max_length=40)),
                (
                    "country",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="cities",
                        to="atlas.country",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "cities",
                "ordering": ("name",),
            },
        ),
    ]
