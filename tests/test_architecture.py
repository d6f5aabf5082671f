"""The shape of the house: sizes, public names, and what an import drags in."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cache_core", "django_ext", "flask_ext")
LONGEST = 450
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def public_packages() -> list[str]:
    """The packages and those below them that a user may import, as dotted names."""
    inner = {"migrations", "management", "commands"}
    folders = [path.parent.relative_to(ROOT) for path in MODULES if path.name == "__init__.py"]
    return [".".join(folder.parts) for folder in folders if not inner & set(folder.parts)]


def isort_style(word: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that ruff keeps."""
    return (0 if word.isupper() else 1 if word[0].isupper() else 2, word)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_module_has_one_subject(path):
    """No module is longer than one can keep in mind; a longer one has a second subject in it."""
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST, f"{name(path)} has {length} lines; split it by subject."


@pytest.mark.parametrize("package", public_packages())
def test_public_names_exist_and_are_sorted(package):
    """What __all__ lists can be imported from there, each name once and in order."""
    module = importlib.import_module(package)
    listed = getattr(module, "__all__", [])
    assert [word for word in listed if not hasattr(module, word)] == []
    assert list(listed) == sorted(set(listed), key=isort_style)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_front_door_lists_its_names(package):
    """Each of the three packages says in __all__ what is public."""
    assert importlib.import_module(package).__all__


def test_importing_the_core_loads_nothing_third_party():
    """``import cache_core`` needs Python's own modules only, whatever is installed."""
    script = ROOT / "tests" / "packaging" / "import_core.py"
    code = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_path({str(script)!r})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-Ic", code], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("third-party modules: none\n", "")
