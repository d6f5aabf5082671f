"""Where in the user's code something happened."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

_OURS = ("cache_core", "django_ext", "flask_ext", "contextlib")


def caller() -> str:
    """The line of the user's code that is running, and its thread."""
    frame = sys._getframe(1)  # noqa: SLF001 - there is no public way without reading source files
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        frame = frame.f_back
    file = Path(frame.f_code.co_filename).name
    return f"{file}:{frame.f_lineno} in {threading.current_thread().name}"


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS
