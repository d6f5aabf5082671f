"""The addresses of the atlas."""

from __future__ import annotations

from django.urls import path

from atlas import views

urlpatterns = [
    path("", views.world, name="world"),
    path("country/<str:code>/", views.country, name="country"),
    path("city/<int:id>/", views.city, name="city"),
    path("search/", views.search, name="search"),
]
