"""Making a layer is free; without its package it says what to install."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from cache_core import Cache
from cache_core.errors import MissingExtra

SCRIPT = """
import socket, sys
from cache_core import Cache
socket.socket = None
cache = Cache(memcached="127.0.0.1:1")
cache.stats()
cache.close()
print({"pymemcache"} & set(sys.modules))
"""


def test_making_a_layer_imports_no_client_and_opens_nothing():
    """The package is imported by the first operation, not at start-up."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("set()\n", "")


def test_without_its_package_the_extra_is_named(monkeypatch):
    """Whoever has not installed pymemcache is told the command that does."""
    find = importlib.util.find_spec
    target = "cache_core.layers.memcached.layer.find_spec"
    monkeypatch.setattr(target, lambda name: None if name == "pymemcache" else find(name))
    with pytest.raises(MissingExtra, match=r"pip install 'cache-core\[memcached\]'"):
        Cache(memcached="127.0.0.1:1").stats()
