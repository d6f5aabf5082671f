"""Imports the core and names every module that came with it and is neither ours nor Python's."""

from __future__ import annotations

import sys

before = {name.partition(".")[0] for name in sys.modules}
import cache_core  # noqa: E402

after = {name.partition(".")[0] for name in sys.modules}
strangers = after - before - set(sys.stdlib_module_names) - {cache_core.__name__}
# Python's own build configuration, named after the platform; loaded by zoneinfo.
strangers = {name for name in strangers if not name.startswith("_sysconfigdata")}
print("third-party modules:", ", ".join(sorted(strangers)) or "none")
