"""How a call becomes a key."""

from __future__ import annotations
