"""A process of a run: it reads or writes for some time, and keeps a journal."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from pathlib import Path

from tests.integration.process import serve
from tests.integration.site import Loop, finish
from tests.stress.history import Journal
from tests.stress.modes import MODES
from tests.stress.rows import Rows
from tests.stress.shop import ROWS

MODULE = "tests.stress.worker"
THREADS, TASKS = 3, 5
MOST_READS = 4
AGAIN, WRITES = 0.3, 0.03
"""How likely a read of a request is one that it has made before, and is followed by a write."""

REST_SECONDS = 0.2
"""Longest time between two writes of a writer."""

SKEW = 3
"""Some rows are written all the time, to meet their loads; others seldom, so that age can show."""


class Worker:
    """Carries out commands.

    Args:
        folder: Where the rows are, and where journals are written to.
        address: The URL of Redis.
        name: What its journals are called.
    """

    def __init__(self, folder, address, name):
        self._folder = Path(folder)
        self._rows = Rows(self._folder / "rows", ROWS)
        self._address = address
        self._name = name
        self._loop = Loop()
        self._shops = {}

    def open(self, mode):
        """Gets ready for *mode*, which takes a moment in a new process."""
        self._of(mode)

    def read_until(self, mode, end):
        """Makes requests in threads and tasks until the monotonic time *end*."""
        self._keep_on(mode, end, _Reading)

    def write_until(self, mode, end):
        """Writes in threads and tasks until the monotonic time *end*."""
        self._keep_on(mode, end, _Writing)

    def undelivered(self, mode):
        """Tries to deliver what waits; returns how much is left."""
        runtimes = [shop.cache.runtime for shop in self._of(mode)]
        for runtime in runtimes:
            runtime.deliver()
        return sum(len(runtime.pending) for runtime in runtimes)

    def wrong(self, mode):
        """Each row and number that is read and is not what stands in the database."""
        return [
            pair for shop in self._of(mode) for pair in self._finish(shop, self._differing(shop))
        ]

    def figures(self, mode):
        """Loads and hits."""
        if MODES[mode].is_naive:
            return {}
        figures = [
            use_case
            for shop in self._of(mode)
            for use_case in shop.cache.stats()["use_cases"].values()
        ]
        hits = [figure["hits"] for figure in figures]
        return {
            "loads": sum(figure["loads"] for figure in figures),
            "local": sum(hit["local"] + hit["request"] for hit in hits),
            "remote": sum(hit["remote"] for hit in hits),
        }

    def close(self):
        for shops in self._shops.values():
            for shop in shops:
                self._finish(shop, shop.close())
        self._loop.close()
        self._rows.close()

    def _keep_on(self, mode, end, kind):
        threads, journals = [], []
        for shop in self._of(mode):
            run, number = (self._run_tasks, 1) if shop.is_async else (self._run, THREADS)
            for _ in range(number):
                path = self._folder / f"{self._name}.{mode}-{len(journals)}"
                journals.append(Journal(path.open("wb")))
                activity = kind(MODES[mode], end, journals[-1])
                threads.append(threading.Thread(target=run, args=(shop, activity)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for journal in journals:
            journal.close()

    def _run(self, shop, activity):
        finish(activity.keep_on(shop))

    def _run_tasks(self, shop, activity):
        async def tasks():
            await asyncio.gather(*[activity.keep_on(shop) for _ in range(TASKS)])

        self._loop.finish(tasks())

    async def _differing(self, shop):
        wrong = []
        with shop.cache.enable():
            for name in shop.use_cases:
                for argument in range(ROWS):
                    value = await shop.call(name, argument)
                    wrong += [each for each in value.items() if each[1] != self._rows.read(each[0])]
        return wrong

    def _finish(self, shop, coroutine):
        return self._loop.finish(coroutine) if shop.is_async else finish(coroutine)

    def _of(self, mode):
        """The shops of *mode*: one for threads and, where there is such a thing, one for asyncio."""
        if mode not in self._shops:
            made, kinds = MODES[mode], (False, True)[: 2 - MODES[mode].is_naive]
            self._shops[mode] = [
                made.shop(_namespace(mode), self._rows, self._address, is_async=kind)
                for kind in kinds
            ]
        return self._shops[mode]


def _namespace(mode):
    return mode.replace(" ", "-").lower()


class _Activity:
    """What a thread or a task does again and again.

    Args:
        mode: The mode.
        end: Until when, in monotonic seconds.
        journal: Where it is noted.
    """

    def __init__(self, mode, end, journal):
        self._mode = mode
        self._end = end
        self._journal = journal
        self._writable = mode.writable()

    async def keep_on(self, shop):
        while time.monotonic() < self._end:
            await self.once(shop)

    async def once(self, shop):
        raise NotImplementedError

    async def write(self, shop):
        """Writes a row; returns it and its number, which is 0 when the write was refused."""
        row = self._writable[int(len(self._writable) * random.random() ** SKEW)]
        return row, await self._mode.write(shop, row, self._journal)


class _Writing(_Activity):
    async def once(self, shop):
        await self.write(shop)
        await shop.pause(REST_SECONDS)


class _Reading(_Activity):
    async def once(self, shop):
        """One request: some reads, some of them again, and now and then a write between them."""
        begun, seen, own = time.monotonic(), {}, {}
        with shop.cache.enable():
            for _ in range(random.randint(1, MOST_READS)):
                key = self._key(shop, seen)
                value = await shop.call(*key)
                self._note(begun, value, own)
                if seen.setdefault(key, value) != value:
                    self._journal.disagreed()
                if random.random() < WRITES:
                    row, own[row] = await self.write(shop)
                    seen = {}
        self._journal.flush()

    def _key(self, shop, seen):
        if seen and random.random() < AGAIN:
            return random.choice(list(seen))
        return shop.any_key()

    def _note(self, begun, value, own):
        for row, number in value.items():
            self._journal.read(begun, row, number)
            if number < own.get(row, 0):
                self._journal.lost()


if __name__ == "__main__":
    logging.disable()  # it would tell of every harm that is done
    serve(Worker)
