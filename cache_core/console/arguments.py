"""The verbs and their options, for a parser of argparse."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter, _SubParsersAction
from typing import TYPE_CHECKING

from cache_core.console.steering import ACTIONS, add_options

if TYPE_CHECKING:
    from typing import TypeAlias

    Verbs: TypeAlias = "_SubParsersAction[ArgumentParser]"


_EXAMPLES = {
    "explain": "examples:\n  explain GetUser 7\n  explain GetUser 7 lang=de --json",
    "invalidate": "examples:\n"
    "  invalidate user_id 7 8 9\n"
    "  invalidate user_id --all --dry-run\n"
    "  invalidate --tag news --use-case GetMenu --tenant organization=3",
    "ramps": "examples:\n  ramps\n  ramps GetUser GetMenu",
    "stats": "examples:\n  stats\n  stats GetUser --json",
    "flush": "examples:\n  flush --dry-run\n  flush --sweep --yes",
    "doctor": "Exits with 0 when all is well, 1 when something is wrong, 2 when it cannot be told.",
}


def add_arguments(parser: ArgumentParser) -> Verbs:
    """Adds the verbs to the *parser* of an adapter's command.

    Returns:
        What an adapter adds verbs of its own to, by ``add_parser``.
    """
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    stats = _verb(verbs, "stats", "What happened in this process, by use case.")
    stats.add_argument("use_cases", nargs="*", metavar="USE_CASE", help="only these")
    ramps = _verb(
        verbs, "ramps", "The policy that holds for each use case, and where it comes from."
    )
    ramps.add_argument(
        "use_cases",
        nargs="*",
        metavar="[ACTION] USE_CASE",
        help=f"only these; or {', '.join(ACTIONS)} and what it is for",
    )
    add_options(ramps)
    _add_explain(verbs)
    _add_invalidate(verbs)
    flush = _changing(verbs, "flush", "Invalidate everything in the namespace of this cache.")
    flush.add_argument("--sweep", action="store_true", help="free the memory of the store, too")
    doctor = _verb(verbs, "doctor", "Look for what is wrong; exit with 1 when something is.")
    doctor.add_argument(
        "--fail-on", choices=("error", "warning"), default="error", help="from which severity on"
    )
    return verbs


def _add_explain(verbs: Verbs) -> None:
    explain = _verb(verbs, "explain", "Why the next call would be a hit, a miss or a bypass.")
    explain.add_argument("use_case", metavar="USE_CASE")
    explain.add_argument(
        "arguments",
        nargs="*",
        metavar="ARGUMENT",
        help="arguments of the call, as 7 or lang=de; numbers, true, false and null are taken as "
        "such, everything else is text",
    )


def _add_invalidate(verbs: Verbs) -> None:
    invalidate = _changing(
        verbs, "invalidate", "Invalidate what has changed behind the cache's back."
    )
    invalidate.add_argument("key_type", nargs="?", metavar="KEY_TYPE", help="as user_id")
    invalidate.add_argument("ids", nargs="*", metavar="ID", help="as 7 8 9")
    invalidate.add_argument("--all", action="store_true", help="every id of KEY_TYPE")
    for option, metavar in (("--tag", "TAG"), ("--use-case", "USE_CASE"), ("--tenant", "LEVEL=ID")):
        invalidate.add_argument(
            option, action="append", default=[], metavar=metavar, help="may be given several times"
        )
    invalidate.add_argument(
        "--buffer-ms",
        type=int,
        default=0,
        metavar="N",
        help="for so many milliseconds readers go past the cache",
    )


def _verb(verbs: Verbs, name: str, help: str) -> ArgumentParser:
    verb = verbs.add_parser(
        name,
        help=help,
        description=help,
        epilog=_EXAMPLES.get(name),
        formatter_class=RawDescriptionHelpFormatter,
    )
    verb.add_argument("--json", action="store_true", help="plain data in place of text")
    return verb


def _changing(verbs: Verbs, name: str, help: str) -> ArgumentParser:
    verb = _verb(verbs, name, help)
    verb.add_argument("--dry-run", action="store_true", help="say what would be done")
    verb.add_argument("--yes", action="store_true", help="ask nothing")
    return verb
