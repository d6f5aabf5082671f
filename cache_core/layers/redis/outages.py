"""Which errors speak of a Redis that is in trouble, and which of one operation only.

The circuit breaker counts the first kind: no answer, or one that nearly every operation would get.
"""

from __future__ import annotations

from cache_core.errors import RemoteError

# redis-py strips the code of some errors, differently by version, and scripts wrap it. What is left
# is the name of redis-py's class, or the text.
_CLASSES = {"ReadOnlyError", "OutOfMemoryError", "ClusterDownError", "MasterDownError"}
_CODES = (
    "BUSY",
    "CLUSTERDOWN",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOAUTH",
    "NOREPLICAS",
    "READONLY",
)
_TEXTS = ("used memory > 'maxmemory'", "Authentication required", "Not enough good replicas")


def is_refusal(error: Exception) -> bool:
    """Whether *error* is what Redis answered; known by name, for clients that are forks of redis-py."""
    return any(cls.__name__ == "ResponseError" for cls in type(error).__mro__)


def is_outage(error: Exception) -> bool:
    """Whether *error* says that the next operations are likely to fail as well."""
    if isinstance(error, RemoteError):
        return error.is_outage
    if not is_refusal(error):
        return True  # no answer, a late one, or one that is none
    if type(error).__name__ in _CLASSES:
        return True
    text = str(error)
    return any(part in text for part in (*_CODES, *_TEXTS))
