"""Editing countries and cities."""

from __future__ import annotations

from django.contrib import admin

from atlas.models import City, Country


@admin.register(Country)
class CountryAdmin(admin.ModelAdmin):
    list_display = ("name", "code", "continent", "capital", "population")
    list_filter = ("continent",)
    search_fields = ("name",)


@admin.register(City)
class CityAdmin(admin.ModelAdmin):
    list_display = ("name", "country", "population", "timezone")
    list_select_related = ("country",)
    autocomplete_fields = ("country",)
    search_fields = ("name",)
