"""Finds the fragments of a project's templates, which are declared when a template is compiled.

A command has compiled none. So it looks at the files of the templates, and compiles those that have
the tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.template import engines
from django.template.backends.django import DjangoTemplates

_TAG = re.compile(rb"\{%\s*cached\s")


def compile_fragments() -> list[str]:
    """Has the tag declare the fragments of all template files.

    Returns:
        What is wrong with templates that cannot be compiled, one sentence each.
    """
    mistakes: list[str] = []
    for engine in engines.all():
        if not isinstance(engine, DjangoTemplates):
            continue
        for name in dict.fromkeys(_names(engine)):
            try:
                engine.get_template(name)
            except Exception as error:  # noqa: BLE001 - whatever a tag of the project raises
                mistakes.append(f"The fragments of {name} are unknown: {error}")
    return mistakes


def _names(engine: DjangoTemplates) -> Iterator[str]:
    """The names of the templates that have the tag."""
    for folder in _folders(engine.engine.template_loaders):
        for path in sorted(folder.rglob("*")):
            if _has_tag(path):
                yield path.relative_to(folder).as_posix()


def _has_tag(path: Path) -> bool:
    try:
        return path.is_file() and _TAG.search(path.read_bytes()) is not None
    except OSError:
        return False  # whoever cannot read it cannot render it


def _folders(loaders: Any) -> Iterator[Path]:
    for loader in loaders:
        if hasattr(loader, "get_dirs"):
            yield from map(Path, loader.get_dirs())
        yield from _folders(getattr(loader, "loaders", ()))  # of the one that caches
