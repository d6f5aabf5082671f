"""redis-py is imported when it is first needed, by one thread."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio, sys, threading

from cache_core.layers.redis.layer import RedisLayer
from cache_core.layers.redis.options import RedisOptions

assert "redis" not in sys.modules
importers = {}


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "redis":
            importers.setdefault(threading.get_ident(), name)


async def on_a_loop():
    layer._aopen()


layer = RedisLayer(RedisOptions.from_setting("redis://127.0.0.1:1", "REDIS"), namespace="importing")
sys.meta_path.insert(0, Finder)
barrier = threading.Barrier(3)


def first(use):
    barrier.wait()
    use()


uses = [layer._open, lambda: asyncio.run(on_a_loop()), lambda: layer.feed(None, None)]
threads = [threading.Thread(target=first, args=(use,)) for use in uses]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(importers) == 1, importers
"""


def test_the_first_users_do_not_import_at_once():
    """Threads that begin at different modules would wait for each other, which Python ends in errors."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
