"""The Flask adapter loads from the wheel, and all of its public names are there."""

from __future__ import annotations

import flask_ext

assert {name: getattr(flask_ext, name) for name in flask_ext.__all__}
print("ok")
