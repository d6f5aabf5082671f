"""A layer under test, what can happen to its store, and the words that the tests share."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from typing import Any, NoReturn

import pytest

from cache_core.layers.base import Fetch, RemoteLayer, RemoteOperation

USER, OTHER_USER, SLOT = "{user_id:42}", "{user_id:43}", "{uc:GetUser}/s:12"
ROOT, USE_CASE, TYPE = "{*}", "{uc:GetUser}", "{user_id:*}"
THINGS = (USER, USE_CASE, ROOT)
ENTRY, OTHER = "{user_id:42}?lang=en#GetUser", "{user_id:42}?lang=de#GetUser"
LIFE = 60_000
"""Milliseconds that nothing in these tests outlives."""

SHORT = 30
"""Milliseconds that a test can wait for the end of."""

_EPOCH = r"([0-9a-f]{16})?"
VERSION = re.compile(_EPOCH + r"n[0-9]+\.[\w-]{12,}")
MARKED = re.compile(_EPOCH + r"![0-9]+\.[\w-]{12,}\|[\w-]+@[0-9]+(,[\w-]+@[0-9]+)*")


class Faults:
    """What a test can do to the store behind a layer.

    Override what is possible; tests that need the rest are skipped.
    """

    def pass_time(self, ms: int) -> None:
        """Lets *ms* milliseconds pass on the store's clock; by default on everybody's."""
        time.sleep(ms / 1000)

    def forge(self, thing: str, data: bytes) -> None:
        """Puts *data* where the version of *thing* stands."""
        self._cannot("forge a version")

    def lose(self, things: Iterable[str]) -> None:
        """The store evicts the versions of *things*."""
        self._cannot("lose versions")

    def refuse_writes(self) -> None:
        """From now on the store refuses every write, and can be read."""
        self._cannot("refuse writes")

    def accept_writes(self) -> None:
        """The end of ``refuse_writes``."""
        self._cannot("accept writes")

    def lag(self) -> None:
        """A replica has everything, and hears of nothing from now on."""
        self._cannot("lag")

    def fail_over(self) -> None:
        """The replica takes the place of the store; without ``lag`` it has everything."""
        self._cannot("fail over")

    def _cannot(self, what: str) -> NoReturn:
        pytest.skip(f"These faults cannot {what}.")


class Subject:
    """A layer that tests call like a function.

    Args:
        layer: Any remote layer over an empty store.
        faults: What can happen to the store.
        style: ``"threads"`` or ``"asyncio"``: how operations are carried out.
    """

    def __init__(self, layer: RemoteLayer, faults: Faults, style: str) -> None:
        self.layer = layer
        self.faults = faults
        self._style = style

    def __call__(self, operation: RemoteOperation) -> Any:
        """The result of *operation*."""
        if self._style == "asyncio":
            return asyncio.run(self._carry_out(operation))
        return self.layer.perform(operation)

    async def _carry_out(self, operation: RemoteOperation) -> Any:
        try:
            return await self.layer.aperform(operation)
        finally:
            await self.layer.aclose()

    def version(self, thing: str = USER) -> str | None:
        """The version of *thing*."""
        version: str | None = self(Fetch((thing,))).versions[0]
        return version

    @property
    def epoch(self) -> str:
        """What the pulse says of the lineage of the data."""
        epoch: str = self(Fetch((), pulse=True)).pulse.epoch
        return epoch


class Contract:
    """The fixtures of all tests, and what a layer says of itself.

    Attributes:
        has_epochs: Whether the pulse tells the lineage of the data (rule E1).
        has_time: Whether the store's time can be had (rules T4, D4).
        has_locks: Whether a lock is given to one only.
        is_concurrent: Whether several threads may use the store at the same time.
        slack_ms: How much longer than asked an entry, a version or a lock may live.
        mark_slack_ms: How much longer than asked a mark may stand.
        refusal: A part of what the store says when it refuses a write.
    """

    has_epochs = False
    has_time = True
    has_locks = True
    is_concurrent = True
    slack_ms = 0
    mark_slack_ms = 0
    refusal = ""

    @pytest.fixture
    def layer(self) -> RemoteLayer:
        """The layer, over a store that is empty."""
        raise NotImplementedError("Give a fixture 'layer' that returns a remote layer.")

    @pytest.fixture
    def faults(self) -> Faults:
        """What can happen to the store; by default only time passes."""
        return Faults()

    @pytest.fixture(params=["threads", "asyncio"])
    def style(self, request: pytest.FixtureRequest) -> str:
        """How operations are carried out."""
        return str(request.param)

    @pytest.fixture
    def store(self, layer: RemoteLayer, faults: Faults, style: str) -> Subject:
        """``store(operation)`` carries an operation out."""
        return Subject(layer, faults, style)

    def outlive(self, store: Subject, ms: int) -> None:
        """Waits until something with a life of *ms* milliseconds is over."""
        store.faults.pass_time(ms + SHORT + self.slack_ms)

    def outlive_mark(self, store: Subject, ms: int) -> None:
        """As ``outlive`` for a mark."""
        store.faults.pass_time(ms + SHORT + self.mark_slack_ms)

    def need(self, capability: str) -> None:
        """Skips the test where the layer says that it has not got this."""
        if not getattr(self, capability):
            pytest.skip(f"This layer says {capability} = False.")


def marks(version: str) -> dict[str, int]:
    """Token -> deadline of the marks in a version."""
    _, _, listed = version.partition("|")
    pairs = [part.split("@") for part in listed.split(",") if part]
    return {token: int(deadline) for token, deadline in pairs}


def birth(version: str) -> int:
    """When a version was given, in milliseconds."""
    return int(re.split(r"[n!.]", version)[1])
