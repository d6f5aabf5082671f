"""What every remote layer has to do, as tests: subclass ``RemoteLayerContract`` in a test file.

::

    class TestMyLayer(RemoteLayerContract):
        @pytest.fixture
        def layer(self, tmp_path):
            return MyLayer(tmp_path / "store")

pytest collects the class with all its tests, each for threads and for asyncio. What the store cannot
do is said in attributes of the class; what a test can do to the store, in the fixture ``faults``.
This package needs pytest; the rest of ``cache_core`` does not.
"""

from __future__ import annotations

import pytest

# Before they are imported: so that a test that fails shows what it compared.
pytest.register_assert_rewrite(
    *[
        f"{__name__}.{part}"
        for part in ("at_once", "entries", "health", "locks", "marks", "versions")
    ]
)

from cache_core.testing.contract.at_once import AtOnceContract  # noqa: E402
from cache_core.testing.contract.entries import EntriesContract  # noqa: E402
from cache_core.testing.contract.health import HealthContract  # noqa: E402
from cache_core.testing.contract.locks import LocksContract  # noqa: E402
from cache_core.testing.contract.marks import MarksContract  # noqa: E402
from cache_core.testing.contract.subject import Faults, Subject  # noqa: E402
from cache_core.testing.contract.versions import VersionsContract  # noqa: E402

__all__ = ["Faults", "RemoteLayerContract", "Subject"]


class RemoteLayerContract(
    HealthContract, VersionsContract, MarksContract, EntriesContract, LocksContract, AtOnceContract
):
    """The tests of a remote layer; the attributes are those of ``subject.Contract``."""
