"""How a call becomes a key: text for values, keys and their URNs, use cases, bound signatures."""

from __future__ import annotations

from cache_core.keys.binding import Binding
from cache_core.keys.key import Entity, Key
from cache_core.keys.text import argument_text, escape, id_text, unescape
from cache_core.keys.usecase import Registry, UseCase

__all__ = [
    "Binding",
    "Entity",
    "Key",
    "Registry",
    "UseCase",
    "argument_text",
    "escape",
    "id_text",
    "unescape",
]
