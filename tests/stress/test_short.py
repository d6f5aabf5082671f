"""Each mode for two seconds, under faults; ``make stress`` takes minutes."""

from __future__ import annotations

import pytest

from tests.servers import require_server
from tests.stress.modes import MODES
from tests.stress.run import Crew

SECONDS, EVERY = 1.8, 0.2
CONTROLS = [name for name, mode in MODES.items() if mode.is_control]
PROMISING = [name for name, mode in MODES.items() if mode.promise]
ATTEMPTS = 5
"""How often a control may get away with it: on a busy machine a second has few reads."""


@pytest.fixture(scope="module")
def crew():
    """Three processes that read, two that write, and a Redis with a replica."""
    require_server("redis")
    with Crew() as made:
        yield made


@pytest.mark.redis
@pytest.mark.parametrize("mode", PROMISING)
def test_what_a_mode_promises_holds_under_faults(crew, mode):
    """Not one read is older than its mode allows, and all is right when it is quiet again."""
    result = crew.run(mode, SECONDS, every=EVERY)
    assert result.is_kept, str(result.verdict)
    assert result.faults.total()  # a busy machine gets to few of them in so short a time
    assert result.verdict.p1.reads > 200
    assert result.verdict.writes > 10
    assert min(result.figures[name] for name in ("loads", "local", "remote")) > 10


@pytest.mark.redis
@pytest.mark.parametrize("mode", CONTROLS)
def test_the_checker_catches_caches_that_are_wrong(crew, mode):
    """Control: the same harness sees stale reads where there are some, even without faults."""
    assert any(crew.run(mode, SECONDS / 2, every=EVERY).is_kept for _ in range(ATTEMPTS))
