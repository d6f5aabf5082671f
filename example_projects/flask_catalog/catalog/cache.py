"""The one cache of this app. Everybody imports it from here; create_app() configures it."""

from __future__ import annotations

from flask_ext import CacheCore

cache = CacheCore()
