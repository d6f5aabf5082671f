"""Making a layer is free: nothing is imported, nothing is opened."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import socket, sys
from cache_core.layers.redis import RedisLayer, RedisOptions
socket.socket = None
layer = RedisLayer(RedisOptions.from_setting("redis://127.0.0.1:1", "REDIS"), namespace="app")
layer.describe()
layer.close()
print({"redis", "hiredis"} & set(sys.modules))
"""


def test_making_a_layer_imports_no_client_and_opens_nothing():
    """The redis package is imported by the first operation, not at start-up."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("set()\n", "")
