"""The pages for newcomers: done step by step in an empty folder, and a way from them to all others."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.run_markdown import blocks

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "docs" / name / "start.md" for name in ("django", "flask")]


ENVIRONMENT = {
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    # Plugins that a newcomer does not have, and that want to be configured.
    "PYTEST_ADDOPTS": "-p no:asyncio -p no:django -p no:randomly -p no:cacheprovider",
}


def steps(page):
    """What a reader does: ("write", file, code) and ("run", command, its input)."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "py":
            head, _, code = block.code.partition("\n")
            what = head.removeprefix("# ")
            if what.startswith("python "):
                yield "run", what, code
            else:
                yield "write", what, code
        elif block.language == "sh":
            for line in block.code.splitlines():
                command = line.partition("#")[0].strip()
                if command and not command.startswith("pip "):
                    yield "run", command, ""


def perform(command, code, folder):
    """Runs a command of the page with this Python, as if the package were installed."""
    program, *arguments = shlex.split(command)
    found = {"python": [], "pytest": ["-m", "pytest"], "flask": ["-m", "flask"]}
    start = found.get(program, ["-m", program.replace("django-admin", "django")])
    return subprocess.run(
        [sys.executable, "-W", "error", *start, *arguments],
        cwd=folder,
        env={**os.environ, **ENVIRONMENT},
        input=code,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_first_steps_lead_to_the_end(page, tmp_path, monkeypatch):
    """Each file is written and each command is run, in the order of the page; none of them fails."""
    for name in ("DJANGO_SETTINGS_MODULE", "FLASK_APP"):
        monkeypatch.delenv(name, raising=False)
    performed = []
    for kind, what, code in steps(page):
        if kind == "write":
            file = tmp_path / what
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as end:
                end.write(f"\n{code}\n")
            continue
        done = perform(what, code, tmp_path)
        # A shell that is given its lines goes on after an error.
        assert done.returncode == 0 and "Error" not in done.stderr, (
            f"{what}:\n{done.stdout}{done.stderr}"
        )
        performed.append(what)
    assert any("test" in what for what in performed)


def test_every_page_is_in_the_index():
    """A newcomer finds each page from docs/README.md."""
    docs = ROOT / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(docs)) for page in docs.rglob("*.md")} - {"README.md"}
    assert [page for page in sorted(pages) if f"]({page})" not in index] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_every_page_opens_with_a_summary(page):
    """Two or three lines that say whether to read on, right below the title."""
    title, _, text = page.read_text(encoding="utf-8").partition("\n\n")
    assert title.startswith("# ")
    assert text.startswith("**TL;DR** ")
