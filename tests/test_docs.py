"""The docs are true: their code runs, their links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.servers import find_server
from tests.tools.run_markdown import DocumentError, blocks, python_blocks

ROOT = Path(__file__).resolve().parents[1]
RUNNER = ROOT / "tests" / "tools" / "run_markdown.py"
MOST_SKIPPED = 5
"""How many code blocks of all docs together may be shown without being run."""

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(
        part.startswith(".") or part == "node_modules" for part in path.relative_to(ROOT).parts
    )
)
LINK = re.compile(r"(?<!\\)\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"(?P<ticks>`+)[^`].*?(?P=ticks)")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="session")
def docs_environment(request):
    """The environment of a page's process; names our Redis where one can be started."""
    environment = dict(os.environ)
    if find_server("redis"):
        server = request.getfixturevalue("redis_server")
        environment["CACHE_CORE_DOCS_REDIS"] = f"redis://{server.host}:{server.port}"
    return environment


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_the_code_on_a_page_runs(path, docs_environment, tmp_path):
    """Every Python block of the page runs after the ones above it, without a warning."""
    if not python_blocks(path.read_text(encoding="utf-8")):
        return
    done = subprocess.run(
        [sys.executable, "-W", "error", str(RUNNER), str(path)],
        cwd=tmp_path,
        env=docs_environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{name(path)}:\n{done.stdout}{done.stderr}"


def test_hardly_any_code_is_skipped():
    """Skipping stays the exception over all pages together."""
    skipped = {
        f"{name(path)}:{block.line}": block.skip
        for path in PAGES
        for block in python_blocks(path.read_text(encoding="utf-8"))
        if block.skip is not None
    }
    assert len(skipped) <= MOST_SKIPPED, skipped


@pytest.mark.parametrize("path", LINKED, ids=name)
def test_the_links_on_a_page_lead_somewhere(path):
    """Every relative link names a file or folder of the repository, and a heading that is there."""
    broken = [target for target in relative_links(path) if not resolves(path, target)]
    assert not broken, f"{name(path)} links to what is not there: {broken}"


def prose(text: str) -> list[str]:
    """The lines of a page without its code blocks: what looks like a link or heading there is none."""
    lines = text.splitlines()
    for block in blocks(text):
        for index in range(block.line - 1, block.line - 1 + block.code.count("\n") + 1):
            lines[index] = ""
    return lines


def relative_links(path: Path) -> list[str]:
    text = CODE.sub("", "\n".join(prose(path.read_text(encoding="utf-8"))))
    targets = [found["target"] for found in LINK.finditer(text)]
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def resolves(path: Path, target: str) -> bool:
    file, _, anchor = unquote(target).partition("#")
    place = (path.parent / file).resolve() if file else path
    if not place.exists() or not place.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(place)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    lines = prose(path.read_text(encoding="utf-8"))
    headings = [line.lstrip("#").strip() for line in lines if re.match(r"#{1,6} ", line)]
    found: set[str] = set()
    for heading in headings:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        twin, count = slug, 0
        while twin in found:
            count += 1
            twin = f"{slug}-{count}"
        found.add(twin)
    return found


# The harness itself.

PAGE = """\
# Page

<!-- setup: flask -->
```python
one = app.name
```

Text with `[no](link)` in code.

```sh
make demo
```

<!-- skip: needs a printer -->
~~~python
print_on_paper()
~~~

1. In a list:

   ```python
   assert one == "docs"
   ```
"""


def run_page(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    page = tmp_path / "page.md"
    page.write_text(text)
    command = [sys.executable, "-W", "error", str(RUNNER), str(page)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_blocks_are_found_with_their_lines_and_comments():
    """Fences of both kinds, indented ones, and the comments before them are understood."""
    found = [(block.line, block.language, block.setups, block.skip) for block in blocks(PAGE)]
    assert found == [
        (5, "python", ("flask",), None),
        (11, "sh", (), None),
        (16, "python", (), "needs a printer"),
        (22, "python", (), None),
    ]


def test_blocks_of_a_page_share_their_names(tmp_path):
    """A later block sees what an earlier one and its setup defined; a skipped one does not run."""
    done = run_page(tmp_path, PAGE)
    assert done.returncode == 0, done.stderr


def test_a_block_may_await(tmp_path):
    """A block with await at its top level runs on an event loop."""
    done = run_page(
        tmp_path, "```python\nimport asyncio\nprint(await asyncio.sleep(0, 'done'))\n```\n"
    )
    assert done.stdout == "done\n"


def test_a_failing_block_points_to_its_line(tmp_path):
    """The traceback names the Markdown file and the line in it."""
    done = run_page(tmp_path, "# Title\n\n```python\none = 1\nassert one == 2\n```\n")
    assert done.returncode == 1
    assert 'page.md", line 5' in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- skip: -->\n```python\n```\n", "needs a text"),
        ("<!-- skip: why -->\nprose\n", "no code block below"),
        ("```python\none = 1\n", "never closed"),
    ],
    ids=["skip without a reason", "comment without a block", "open fence"],
)
def test_a_wrong_page_is_refused(text, message):
    """A skip without a reason, a comment that belongs to nothing and an open fence are errors."""
    with pytest.raises(DocumentError, match=message):
        list(blocks(text))


def test_broken_links_are_found(tmp_path):
    """A missing file and a missing heading are noticed; links in code and to the web are not."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b` c\n[x](no.md) [y](#a-b-c) [z](#none) `[c](code.md)` [w](https://x.y)\n"
    )
    assert relative_links(page) == ["no.md", "#a-b-c", "#none"]
    assert anchors(page) == {"a-b-c"}
    assert not resolves(page, "no.md")
