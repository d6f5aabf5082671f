"""A backend for Django's ``CACHES``: Redis, or the memory of this process, behind Django's own API.

It keeps what it is told to keep, for as long as it is told. What is to follow the database belongs
into cached functions instead, or into the template tag ``cached``.
"""

from __future__ import annotations

from django_ext.backend.face import LayeredCache
from django_ext.backend.shared import close_connections

__all__ = ["LayeredCache", "close_connections"]
