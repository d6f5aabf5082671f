"""``flask cache``: look at the caches of an app, and steer them.

The verbs are those of ``cache_core.console``, as in Django. The command belongs to the app, not to an
entry point: Flask would prefer that to a command of the same name which the app itself has.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from flask import current_app
from flask.cli import with_appcontext

from cache_core.console import REFUSED, add_arguments, execute
from cache_core.errors import CacheCoreError
from cache_core.events import logger

if TYPE_CHECKING:
    from flask import Flask

    from flask_ext.extension import CacheCore

COMMAND = "cache"
OTHERWISE = "cachecore"
"""What the command is called where the app has a command ``cache`` of its own."""


@click.command(
    COMMAND,
    short_help="Look at the app's cache, and invalidate.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def command(arguments: Sequence[str]) -> None:
    """Carries out one verb; exits with 1 where something is wrong, with 2 where it cannot."""
    caches = _caches()
    options = _parse(arguments, sorted(caches))
    try:
        result = execute(caches[options.cache], vars(options))
    except CacheCoreError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(REFUSED)
    click.echo(result.shown(as_json=options.json))
    sys.exit(result.code)


def add_command(app: Flask) -> None:
    """Gives *app* the command, once, and under another name where it has one called so."""
    known = app.cli.commands
    if command in known.values():
        return
    if COMMAND not in known:
        app.cli.add_command(command)
        return
    logger.warning(
        "App %r has a command %r of its own; that of the cache is called %r",
        app.name,
        COMMAND,
        OTHERWISE,
    )
    app.cli.add_command(command, OTHERWISE)


def _caches() -> dict[str, CacheCore]:
    from flask_ext.extension import EXTENSION_KEY

    found = current_app.extensions[EXTENSION_KEY]
    return {name: cache.declaration for name, cache in found.items()}


def _parse(arguments: Sequence[str], names: Sequence[str]) -> Namespace:
    parser = ArgumentParser(prog=f"flask {COMMAND}", description="Looks at the app's cache.")
    parser.add_argument(
        "--cache", choices=names, default=names[0], help="which one, where the app has several"
    )
    add_arguments(parser)
    return parser.parse_args(arguments)
