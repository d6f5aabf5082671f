"""Finds the supported Pythons of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SUPPORTED = ("3.10", "3.11", "3.12", "3.13")


def find_pythons() -> dict[str, str]:
    """One interpreter for each supported version found, the running one first.

    Looks along PATH, among the versions of pyenv and uv, and in the system's folders. With
    ``WHEEL_PYTHONS=one`` in the environment it is the running one only.
    """
    running = "{}.{}".format(*sys.version_info)
    found = {running: sys.executable}
    if os.environ.get("WHEEL_PYTHONS", "all") == "one":
        return found
    for version in SUPPORTED:
        usable = (str(path) for path in _candidates(version) if _is(path, version))
        if version not in found and (path := next(usable, None)):
            found[version] = path
    return found


def _candidates(version: str) -> Iterator[Path]:
    program = f"python{version}"
    home = Path.home()
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    folders += sorted((home / ".pyenv/versions").glob(f"{version}.*/bin"), reverse=True)
    folders += sorted((home / ".local/share/uv/python").glob(f"cpython-{version}.*/bin"))
    folders += [Path("/usr/local/bin"), Path("/usr/bin")]
    return (folder / program for folder in folders if (folder / program).is_file())


def _is(path: Path, version: str) -> bool:
    """Whether *path* runs (a shim of pyenv may not) and is the version that its name says."""
    code = "import sys, venv; print('{}.{}'.format(*sys.version_info))"
    try:
        done = subprocess.run(
            [path, "-Ic", code], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == version
