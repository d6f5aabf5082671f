"""``manage.py cache_core``: look at the project's cache, and steer it."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import get_resolver

from cache_core.console import REFUSED, add_arguments, execute
from cache_core.errors import CacheCoreError
from django_ext import relaying, triggering
from django_ext.default import cache
from django_ext.doctor import examine
from django_ext.fragments import compile_fragments

_COMMON: dict[tuple[str, ...], dict[str, Any]] = {
    ("-v", "--verbosity"): {"type": int, "choices": range(4), "help": "0 to 3; 1 unless told"},
    ("--settings",): {"metavar": "MODULE", "help": "the settings, as in shop.settings.production"},
    ("--pythonpath",): {"metavar": "FOLDER", "help": "where else to import from"},
    ("--traceback",): {"action": "store_true", "help": "show where an error was raised"},
    ("--no-color",): {"action": "store_true", "help": "no colours in the output"},
    ("--force-color",): {"action": "store_true", "help": "colours in any case"},
}
"""What ``BaseCommand`` adds to the parser, which argparse takes before the verb only."""


class Command(BaseCommand):
    """The verbs of ``cache_core.console``, for the project's cache."""

    help = "Looks at the cache of this project, and invalidates."
    requires_system_checks = []  # doctor tells of them, and the others work in spite of them

    def add_arguments(self, parser: CommandParser) -> None:
        """Adds the verbs, each with the options that Django gives every command."""
        verbs = add_arguments(parser)
        relaying.add_arguments(verbs)
        triggering.add_arguments(verbs)
        for verb in verbs.choices.values():
            self._add_common(verb)

    def _add_common(self, verb: ArgumentParser) -> None:
        """Without defaults, which would overrule what stands before the verb."""
        group = verb.add_argument_group("options of every Django command")
        for flags, options in _COMMON.items():
            group.add_argument(*flags, default=SUPPRESS, **options)

    def handle(self, *args: Any, **options: Any) -> None:
        """Carries out one verb; exits with 1 where something is wrong, with 2 where it cannot."""
        if options["verb"] == relaying.VERB:
            self._relay(once=options["once"], listen=options["listen"])
            return
        try:
            if options["verb"] == triggering.VERB:
                result = triggering.execute(options)
            else:
                self._import_views()
                result = execute(cache, options, examine=examine)
        except CacheCoreError as error:
            raise CommandError(str(error), returncode=REFUSED) from error
        self.stdout.write(result.shown(as_json=options["json"]))
        if result.code:
            raise SystemExit(result.code)

    def _relay(self, *, once: bool, listen: str | None) -> None:
        try:
            relaying.relay(cache, self.stdout.write, once=once, listen=listen)
        except CacheCoreError as error:
            raise CommandError(str(error), returncode=REFUSED) from error

    def _import_views(self) -> None:
        """Use cases are declared beside views, which nobody has imported in a command."""
        try:
            get_resolver().url_patterns  # noqa: B018
        except Exception as error:  # noqa: BLE001 - whatever a module of the project raises
            self.stderr.write(f"The use cases of views are unknown; the URLs fail: {error}")
        for mistake in compile_fragments():
            self.stderr.write(mistake)
