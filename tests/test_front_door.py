"""The front doors: names are imported when somebody asks for them, and no others are there."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

DOORS = ("cache_core", "cache_core.testing")


def printed(code):
    """What *code* prints in a process of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("door", DOORS)
def test_opening_the_door_imports_nothing_behind_it(door):
    """The pytest plugin comes through there in suites that never use a cache."""
    code = (
        f"import sys, {door}; print(sorted(m for m in sys.modules if m.startswith('cache_core')))"
    )
    assert printed(code) == str(sorted({"cache_core", door}))


@pytest.mark.parametrize("door", DOORS)
def test_each_public_name_has_one_home(door):
    """What is listed can be imported, and what can be imported is listed."""
    module = import_module(door)
    assert sorted(module._HOMES) == sorted(module.__all__)
    for name, home in module._HOMES.items():
        assert getattr(module, name) is getattr(import_module(f"{door}.{home}"), name)


@pytest.mark.parametrize("door", DOORS)
def test_a_public_name_is_no_module(door):
    """Whoever imports the module first would find it in place of the name."""
    module = import_module(door)
    assert {home.partition(".")[0] for home in module._HOMES.values()} & set(
        module.__all__
    ) == set()


@pytest.mark.parametrize("door", DOORS)
def test_a_name_that_is_not_there_is_an_error(door):
    """As of any other module."""
    with pytest.raises(AttributeError, match=f"module '{door}' has no attribute 'nothing'"):
        _ = import_module(door).nothing


@pytest.mark.parametrize("door", DOORS)
def test_people_see_the_names(door):
    """Also those that nobody has asked for yet."""
    code = f"import {door}; print(set({door}.__all__) - set(dir({door})))"
    assert printed(code) == "set()"
