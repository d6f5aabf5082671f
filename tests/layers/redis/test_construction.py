"""Making a layer is free: nothing is imported, nothing is opened."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import socket, sys
socket.socket = None
from cache_core.layers.redis import RedisLayer, RedisOptions
layer = RedisLayer(RedisOptions.from_setting("redis://127.0.0.1:1", "REDIS"), namespace="app")
layer.describe()
layer.close()
print(sorted({"redis", "hiredis", "asyncio.events"} & set(sys.modules)))
"""


def test_making_a_layer_imports_no_client_and_opens_nothing():
    """The redis package is imported by the first operation, not at start-up."""
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )
    assert result.stderr == ""
    assert "redis" not in result.stdout
