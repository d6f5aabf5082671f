"""What a change of a row invalidates. Django imports this file by itself when it starts."""

from __future__ import annotations

from atlas.models import City, Country
from django_ext import track

track(City, key_type="city")
# A city that moves to another country changes both.
track(City, key_type="country", id="country")
track(City, key_type="world", id=lambda _: "earth")

track(Country, key_type="country")
track(Country, key_type="world", id=lambda _: "earth")
