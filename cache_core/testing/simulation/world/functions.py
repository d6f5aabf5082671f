"""The cached functions of the simulated processes, and what their loaders do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cache_core.testing.simulation.world.database import Values
from cache_core.testing.simulation.world.declared import Function

if TYPE_CHECKING:
    from cache_core.testing.simulation.world.task import Doing, Task


def one_row(task: Task) -> Doing[int]:
    """Reads row 1."""
    yield "reads the row"
    value = task.database(1)
    yield f"gets {value} from its loader"
    return value


def at_once(task: Task) -> Doing[int]:
    """Reads row 1, and is done with that."""
    yield "gets the row from its loader"
    return task.database(1)


def two_rows(task: Task) -> Doing[Values]:
    """Reads row 1 and then row 2."""
    yield "reads row 1"
    first = task.database(1)
    yield "reads row 2"
    return first, task.database(2)


def inner_call(task: Task) -> Doing[int]:
    """Calls the cached function of row 1."""
    value: int = yield from task.read("row")
    yield f"makes a page of {value}"
    return value


def two_inner_calls(task: Task) -> Doing[int]:
    """Calls the cached function of row 1 twice, and shows what it got first."""
    value: int = yield from task.read("row")
    yield "looks once more"
    yield from task.read("row")
    return value


def named(task: Task) -> Doing[int]:
    """Reads row 1, and says that the value depends on it."""
    yield "reads the row"
    value = task.database(1)
    cache, scope = task.process.cache, task.scope
    assert cache is not None  # only a living process takes turns
    assert scope is not None  # it is called by a cached function
    with cache.active(scope):
        cache.depends_on(("row", 1))
    return value


READ_ROW = Function("row", one_row)
READ_AT_ONCE = Function("row", at_once)
