"""How a page was answered: how long it took, and what the cache had of it."""

from __future__ import annotations

from contextlib import contextmanager
from time import perf_counter

from django_ext import cache


class Answer:
    """The time that a block took and what the cache counted meanwhile.

    In a busy server other requests would be counted too; in a demo there are none.
    """

    def __init__(self):
        self.milliseconds = 0.0
        self.uses = []

    @property
    def hits(self):
        return sum(use["hits"] for use in self.uses)

    @property
    def loads(self):
        return sum(use["loads"] for use in self.uses)

    def headers(self):
        """For the demo, which reads them over HTTP."""
        figures = {
            "Milliseconds": f"{self.milliseconds:.2f}",
            "Hits": self.hits,
            "Loads": self.loads,
        }
        return {f"X-Atlas-{name}": str(figure) for name, figure in figures.items()}


@contextmanager
def measured():
    """Measures the block; the answer is complete when it is left."""
    answer, before, started = Answer(), counted(), perf_counter()
    yield answer
    answer.milliseconds = (perf_counter() - started) * 1000
    for name, after in counted().items():
        hits, loads, seconds = (new - old for new, old in zip(after, before[name], strict=True))
        if hits or loads:
            answer.uses.append(
                {"name": name, "hits": hits, "loads": loads, "milliseconds": seconds * 1000}
            )


def counted():
    """For each use case: hits of all layers, runs of the loader, seconds in it."""
    return {
        name: (sum(figures["hits"].values()), figures["loads"], figures["load_seconds"])
        for name, figures in cache.stats()["use_cases"].items()
    }
