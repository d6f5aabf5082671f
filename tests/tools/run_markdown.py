"""Runs the Python code blocks of one Markdown file, top to bottom, as one module.

    python tests/tools/run_markdown.py README.md

All blocks of a file share their names, as a reader who types them in would have it. A block may use
``await``. Tracebacks show the Markdown file and the line in it. A comment on the line before a block
(or on one of several such lines) says more about it; a reader of the page does not see it:

``<!-- setup: NAME -->``
    Runs before the block, once per file. ``django``: Django is started with tests/settings.py and has
    its tables. ``flask``: an application ``app`` exists. ``example NAME``: the folder
    example_projects/NAME is importable.
``<!-- skip: REASON -->``
    The block is not run, for this reason.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
REDIS_IN_DOCS = "redis://localhost:6379"
"""What the docs write; replaced by the server named in the variable CACHE_CORE_DOCS_REDIS."""

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")
COMMENT = re.compile(r"^ *<!-- (?P<word>setup|skip):(?P<text>.*?)-->\s*$")


class DocumentError(ValueError):
    """A comment in a Markdown file is wrong."""


@dataclass(frozen=True)
class Block:
    """One fenced code block.

    Args:
        line: The line of its first line of code, counted from 1.
        language: The first word behind the fence.
        code: What stands between the fences, without their indentation.
        setups: The texts of its setup comments.
        skip: The reason of its skip comment, or None.
    """

    line: int
    language: str
    code: str
    setups: tuple[str, ...]
    skip: str | None


def blocks(text: str) -> Iterator[Block]:
    """The fenced code blocks of a Markdown text, of any language."""
    lines = iter(enumerate(text.splitlines(), start=1))
    comments: list[tuple[str, str]] = []
    for number, line in lines:
        if found := COMMENT.match(line):
            comments.append((found["word"], _said(found, number)))
        elif opening := FENCE.match(line):
            code = list(_until(opening, lines, number))
            setups = tuple(text for word, text in comments if word == "setup")
            skips = [text for word, text in comments if word == "skip"]
            language = (opening["info"].split() or [""])[0]
            yield Block(number + 1, language, "\n".join(code), setups, next(iter(skips), None))
            comments = []
        elif line.strip() and comments:
            raise DocumentError(
                f"Line {number}: a setup or skip comment has no code block below it."
            )


def python_blocks(text: str) -> list[Block]:
    """The blocks marked as ``python``."""
    return [block for block in blocks(text) if block.language == "python"]


def _said(comment: re.Match[str], number: int) -> str:
    text = comment["text"].strip()
    if not text:
        raise DocumentError(f"Line {number}: <!-- {comment['word']}: --> needs a text.")
    return text


def _until(opening: re.Match[str], lines: Iterator[tuple[int, str]], start: int) -> Iterator[str]:
    closing = re.compile(rf"^ *{re.escape(opening['fence'])}{re.escape(opening['fence'][0])}*\s*$")
    indent = len(opening["indent"])
    for _, line in lines:
        if closing.match(line):
            return
        yield line[indent:] if line[:indent].isspace() else line
    raise DocumentError(f"Line {start}: this code block is never closed.")


def _start_django(names: dict[str, object]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    import django
    from django.core.management import call_command

    for name in [each for each in os.environ if each.startswith("CACHE_CORE_TEST_DATABASE")]:
        del os.environ[name]  # that of the tests, which has their rows
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)


def _start_flask(names: dict[str, object]) -> None:
    from flask import Flask

    names.setdefault("app", Flask("docs"))


def _show_example(name: str) -> Callable[[dict[str, object]], None]:
    folder = ROOT / "example_projects" / name
    if not folder.is_dir():
        raise DocumentError(f"There is no example project {name!r}.")
    return lambda names: sys.path.insert(0, str(folder))


def setup(text: str) -> Callable[[dict[str, object]], None]:
    """What a setup comment asks for."""
    word, _, rest = text.partition(" ")
    if word == "example":
        return _show_example(rest.strip())
    known = {"django": _start_django, "flask": _start_flask}
    if text not in known:
        raise DocumentError(f"Unknown setup {text!r}; known are: example NAME, {', '.join(known)}.")
    return known[text]


def run(path: Path) -> None:
    """Executes the Python blocks of the file at *path*."""
    # A real module, so that pickle and annotations find what the blocks define.
    page = sys.modules["docs_page"] = ModuleType("docs_page")
    done: set[str] = set()
    for block in python_blocks(path.read_text(encoding="utf-8")):
        if block.skip is not None:
            continue
        for text in block.setups:
            if text not in done:
                setup(text)(page.__dict__)
                done.add(text)
        _execute(block, path, page.__dict__)


def _execute(block: Block, path: Path, names: dict[str, object]) -> None:
    redis = os.environ.get("CACHE_CORE_DOCS_REDIS", REDIS_IN_DOCS)
    # Blank lines put the code where it stands in the file, so tracebacks point there.
    source = "\n" * (block.line - 1) + block.code.replace(REDIS_IN_DOCS, redis)
    code = compile(source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, names))
    else:
        exec(code, names)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    run(Path(sys.argv[1]).resolve())
