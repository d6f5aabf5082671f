"""The wheel works with every supported major version of what it is built upon."""

from __future__ import annotations

import pytest

from tests.packaging import test_wheel as wheels

pytestmark = pytest.mark.slow
wheel = wheels.wheel

NEWEST = next(version for version in ("3.13", "3.12", "3.11", "3.10") if version in wheels.PYTHONS)


@pytest.mark.parametrize("version", ["redis==5.0.8", "redis~=6.0", "redis~=7.0", "redis~=8.0"])
def test_redis_py(wheel, version, tmp_path, redis_server):
    """Hits, invalidations and asyncio work; a client version is no matter of luck."""
    python = wheels.make_environment(
        wheels.PYTHONS[NEWEST], tmp_path / "env", f"{wheel}[redis]", version
    )
    redis_server.flush()
    # Old releases of redis-py warn of themselves on a new Python.
    done = wheels.run(
        python, "-I", wheels.HERE / "smoke_redis.py", redis_server.patient_url, cwd=tmp_path
    )
    assert done == "ok\n"


@pytest.mark.parametrize("version", ["Django~=5.2.0", "Django~=6.0.0", "Django~=6.1.0"])
def test_django(wheel, version, tmp_path):
    """A request is served from the cache until a tracked model is saved."""
    if not version.startswith("Django~=5") and NEWEST in {"3.10", "3.11"}:
        pytest.skip("Django 6 needs Python 3.12, and there is none on this machine")
    python = wheels.make_environment(
        wheels.PYTHONS[NEWEST], tmp_path / "env", f"{wheel}[django]", version
    )
    assert wheels.script(python, "smoke_django.py", tmp_path) == "ok\n"


@pytest.mark.parametrize("version", ["SQLAlchemy~=2.0.0", "SQLAlchemy~=2.1.0"])
def test_sqlalchemy(wheel, version, tmp_path):
    """A committed change of a tracked model invalidates, a rolled back one does not."""
    python = wheels.make_environment(
        wheels.PYTHONS[NEWEST], tmp_path / "env", f"{wheel}[flask,sqlalchemy]", version
    )
    assert wheels.script(python, "smoke_sqlalchemy.py", tmp_path) == "ok\n"
