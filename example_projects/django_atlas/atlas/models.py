"""Countries and cities, as GeoNames has them."""

from __future__ import annotations

from django.db import models


class Country(models.Model):
    code = models.CharField("ISO code", max_length=2, primary_key=True)
    name = models.CharField(max_length=100)
    continent = models.CharField(max_length=20)
    capital = models.CharField(max_length=100, blank=True)
    area = models.FloatField("area in square kilometres")
    population = models.BigIntegerField()

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "countries"

    def __str__(self):
        return self.name


class City(models.Model):
    name = models.CharField(max_length=200)
    other_names = models.TextField("names in other languages", blank=True)
    country = models.ForeignKey(Country, models.PROTECT, related_name="cities")
    latitude = models.FloatField()
    longitude = models.FloatField()
    population = models.BigIntegerField()
    timezone = models.CharField(max_length=40)

    class Meta:
        ordering = ("name",)
        verbose_name_plural = "cities"

    def __str__(self):
        return f"{self.name}, {self.country_id}"
