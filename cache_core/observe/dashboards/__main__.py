"""Prints where the files are, one in a line."""

from __future__ import annotations

from cache_core.observe.dashboards import FILES

if __name__ == "__main__":
    print(*FILES.values(), sep="\n")  # noqa: T201 - what it is for
