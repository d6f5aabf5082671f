"""Where entries live."""

from __future__ import annotations
