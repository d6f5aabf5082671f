"""The commands of an adapter: one set of verbs, options and exit codes for every framework.

An adapter hands its parser to ``add_arguments`` and the parsed options to ``execute``; what comes
back is plain data, a text for people, and an exit code.
"""

from __future__ import annotations

from cache_core.console.arguments import add_arguments
from cache_core.console.result import DONE, REFUSED, WRONG, Refusal, Result
from cache_core.console.verbs import execute

__all__ = ["DONE", "REFUSED", "WRONG", "Refusal", "Result", "add_arguments", "execute"]
