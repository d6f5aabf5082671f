"""When an entry may be served: versions, scopes, and the read and write algorithms."""

from __future__ import annotations
