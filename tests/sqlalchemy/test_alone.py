"""It needs SQLAlchemy and nothing else."""

from __future__ import annotations

import subprocess
import sys


def test_no_flask_is_imported():
    """A plain program may use it where Flask is not installed."""
    code = (
        "import sys; sys.modules.update(flask=None, django=None, blinker=None); "
        "import cache_core.sqlalchemy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_the_core_does_not_import_it():
    """Who does not use SQLAlchemy does not pay for it."""
    code = "import sys, cache_core; assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_a_missing_package_is_named():
    """One clear error says which extra is missing."""
    code = "import sys; sys.modules['sqlalchemy'] = None; import cache_core.sqlalchemy"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "cache-core[sqlalchemy]" in done.stderr


def test_flask_has_it_by_its_own_name():
    """Flask apps look for it beside the extension."""
    import cache_core.sqlalchemy
    import flask_ext.sqlalchemy

    assert flask_ext.sqlalchemy.__all__ == cache_core.sqlalchemy.__all__
    assert flask_ext.sqlalchemy.track is cache_core.sqlalchemy.track
