"""The machine that is measured on."""

from __future__ import annotations

import os
import platform
import sys
import threading
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = (
    "redis", "hiredis", "cachetools", "cachebox", "gcache", "HermesCache", "dogpile.cache",
    "cashews", "Django", "django-redis", "Flask-Caching",
)  # fmt: skip


def description() -> dict[str, str]:
    """What the figures depend on, by name."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        **{package: found for package in _PACKAGES if (found := _version(package))},
    }


@contextmanager
def on_one_core(*pids: int) -> Iterator[bool]:
    """Keeps this process and *pids* on one core, where the system lets us; tells whether it does.

    Waking up another core may take longer than the command that it is woken for, by how much
    depends on the machine. On one core the wall clock shows the work of client and server.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    try:
        yield _pin({max(before)}, pids)
    finally:
        _pin(before, pids)


def _pin(cores: set[int], pids: tuple[int, ...]) -> bool:
    threads = [thread.native_id for thread in threading.enumerate() if thread.native_id]
    done = False
    for task in (*threads, *pids):
        with suppress(OSError):  # a thread has ended, or the system does not let us
            os.sched_setaffinity(task, cores)
            done = True
    return done


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def note(text: str) -> None:
    """Tells what goes on, beside the tables."""
    print(text, file=sys.stderr, flush=True)
