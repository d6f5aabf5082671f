"""A process that reads and writes through a cache, told what to do line by line.

Started by ``test_two_processes`` as ``python -m tests.integration.worker <port> <cache>``. The source
of truth is database 1 of the Redis server, the cache lives in database 0. A command and its answer
are one line of JSON each. A read may be held at a gate: the worker then says where it stands, and
goes on when it is told.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time

import redis

from cache_core import Cache
from cache_core.layers.base import Fetch, Store
from cache_core.layers.redis import RedisLayer, RedisOptions

GATES = ("before the version read", "between read and load", "during the load", "before the store")


def tell(**answer):
    print(json.dumps(answer), flush=True)


class Gate:
    """Where a read is to be held; each is passed freely unless it is the chosen one."""

    def __init__(self):
        self.chosen = None

    def __call__(self, name):
        if name == self.chosen:
            self.chosen = None
            tell(at=name)
            assert sys.stdin.readline().strip() == "go on"


class HeldLayer:
    """The real Redis layer with gates in it."""

    def __init__(self, layer, gate):
        self.layer, self.gate = layer, gate
        self.describe, self.close, self.aclose = layer.describe, layer.close, layer.aclose

    def perform(self, operation):
        if isinstance(operation, Fetch):
            self.gate(GATES[0])
        if isinstance(operation, Store):
            self.gate(GATES[3])
        return self.layer.perform(operation)

    async def aperform(self, operation):
        raise NotImplementedError


class Truth:
    """The database: a number for each row, and the last one whose invalidation has returned."""

    def __init__(self, port, gate):
        self.client = redis.Redis(port=port, db=1)
        self.gate = gate
        self.slow = 0.0

    def load(self, row):
        self.gate(GATES[1])
        value = int(self.client.get(f"truth:{row}") or 0)
        if self.slow:
            time.sleep(random.random() * self.slow)
        self.gate(GATES[2])
        return value

    def floor(self, row):
        return int(self.client.get(f"done:{row}") or 0)


class Ours:
    """The cache that is tested."""

    def __init__(self, port, truth, gate):
        options = {"port": port, "connect_timeout": 5, "read_timeout": 5, "write_timeout": 5}
        layer = RedisLayer(RedisOptions.from_setting(options, "REDIS"), namespace="two")
        self.cache = Cache(remote=HeldLayer(layer, gate), secrets=("only for this one test",))

        @self.cache.cached(key_type="row", id_arg="row", use_case="GetRow", ttl=300)
        def get(row):
            return truth.load(row)

        self.get = get

    def read(self, row):
        with self.cache.enable():
            return self.get(row)

    def invalidate(self, row):
        return self.cache.invalidate("row", row).value

    def figures(self):
        figures = self.cache.stats()["use_cases"]["GetRow"]
        return {"loads": figures["loads"], "local_hits": figures["hits"]["local"]}

    def close(self):
        self.cache.close()


class DeleteOnWrite:
    """The cache that most people write: read through, and delete after a write."""

    def __init__(self, port, truth, gate):
        self.client = redis.Redis(port=port)
        self.truth, self.gate = truth, gate
        self.loads = 0

    def read(self, row):
        self.gate(GATES[0])
        kept = self.client.get(f"naive:{row}")
        if kept is not None:
            return int(kept)
        value = self.truth.load(row)
        self.loads += 1
        self.gate(GATES[3])
        self.client.set(f"naive:{row}", value, ex=300)
        return value

    def invalidate(self, row):
        self.client.delete(f"naive:{row}")
        return "ok"

    def figures(self):
        return {"loads": self.loads, "local_hits": 0}

    def close(self):
        self.client.close()


class Worker:
    """Carries out the commands."""

    def __init__(self, port, kind):
        self.gate = Gate()
        self.truth = Truth(port, self.gate)
        self.cache = {"ours": Ours, "naive": DeleteOnWrite}[kind](port, self.truth, self.gate)

    def read(self, row=1, held=None):
        self.gate.chosen = held
        return {"value": self.cache.read(row)}

    def write(self, value, row=1):
        """A commit, its invalidation, and the note that the latter has returned."""
        self.truth.client.set(f"truth:{row}", value)
        delivery = self.cache.invalidate(row)
        if delivery == "ok":
            self.truth.client.set(f"done:{row}", value)
        return {"delivery": delivery}

    def write_for(self, seconds, rows):
        writes, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            writes += 1
            if self.write(writes, random.randrange(rows))["delivery"] != "ok":
                return {"failed": writes}
            time.sleep(random.random() * 0.004)
        return {"writes": writes}

    def read_for(self, seconds, rows, threads):
        """Reads in several threads; counts reads older than what was invalidated before them."""
        self.truth.slow = 0.004
        counts = [[0, 0] for _ in range(threads)]
        end = time.monotonic() + seconds

        def work(count):
            while time.monotonic() < end:
                row = random.randrange(rows)
                floor = self.truth.floor(row)
                count[1] += self.cache.read(row) < floor
                count[0] += 1

        workers = [threading.Thread(target=work, args=(count,)) for count in counts]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        reads, stale = map(sum, zip(*counts))
        return {"reads": reads, "stale": stale, **self.figures()}

    def figures(self):
        return self.cache.figures()

    def serve(self):
        tell(ready=True)
        for line in iter(sys.stdin.readline, ""):
            name, arguments = json.loads(line)
            tell(**getattr(self, name)(**arguments))
        self.cache.close()
        self.truth.client.close()


if __name__ == "__main__":
    Worker(int(sys.argv[1]), sys.argv[2]).serve()
