"""A process that answers requests, and says when it sees another ramp.

Run as ``python -m tests.control.follower SETTINGS``, settings as JSON; ends when its input does.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from cache_core import Cache


def declare(settings):
    """A cache with one use case, and what one request of it is."""
    cache = Cache(default={"ttl": 60}, **settings)

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get_user(user_id):
        return user_id

    def request():
        with cache.enable():
            get_user(7)
        return cache.policy("GetUser").local.ramp

    return cache, request


def main():
    cache, request = declare(json.loads(sys.argv[1]))
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    seen = None
    while not ended.is_set():
        ramp = request()
        if ramp != seen:
            seen = ramp
            print(json.dumps([ramp, time.time()]), flush=True)
        time.sleep(0.01)
    cache.close()


if __name__ == "__main__":
    main()
