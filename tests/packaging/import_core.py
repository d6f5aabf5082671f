"""Imports the core and names every module that came with it and is neither ours nor Python's."""

from __future__ import annotations

import sys

before = {name.partition(".")[0] for name in sys.modules}
import cache_core  # noqa: E402

for name in cache_core.__all__:  # they are imported when somebody asks for them
    getattr(cache_core, name)

after = {name.partition(".")[0] for name in sys.modules}
strangers = after - before - set(sys.stdlib_module_names) - {cache_core.__name__}
# Python's own build configuration, named after the platform; loaded by zoneinfo.
strangers = {name for name in strangers if not name.startswith("_sysconfigdata")}
print("third-party modules:", ", ".join(sorted(strangers)) or "none")
