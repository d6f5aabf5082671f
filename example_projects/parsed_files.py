"""A chain over real files: a bucket, a folder of copies, parsed files in memory by parser version.

Run it: python example_projects/parsed_files.py. It needs nothing but Python.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # not needed once it is installed

from cache_core import Cache
from cache_core.chain import NOT_FOUND, Link, Stamped

cache = Cache()
places = Path(tempfile.mkdtemp())
bucket, copies = places / "bucket", places / "copies"
bucket.mkdir()
copies.mkdir()


class Folder:
    """Copies as files; the first line of each is its stamp."""

    def __getitem__(self, name):
        try:
            stamp, _, text = (copies / name).read_text().partition("\n")
        except FileNotFoundError:
            raise KeyError(name) from None
        return Stamped(text, stamp)

    def __setitem__(self, name, kept):
        new = copies / f"{name}.new"
        new.write_text(f"{kept.stamp}\n{kept.value}")
        new.replace(copies / name)


def download(name):
    """What is slow: the bucket. It does not have every name."""
    path = bucket / name
    return path.read_text() if path.exists() else NOT_FOUND


def parse(text):
    return {word: value * 10 for word, value in json.loads(text).items()}


def show(asked):
    print(f"    {asked.outcome.value:4}  {asked.link:6}  {asked.key}")


raw = Link(
    download,
    name="raw",
    store=Folder(),
    cached=cache.cached(use_case="RawFile", key_type="file", id_arg="key", ttl="1h"),
    inspect=show,
)
parsed = Link(
    raw,
    name="parsed",
    key=lambda key: key[0],  # the bucket knows nothing of parser versions
    value=parse,
    cached=cache.cached(use_case="ParsedFile", ttl="1h"),
    inspect=show,
)


def ask(what, key):
    print(what)
    with cache.enable():
        print(f"    = {parsed(key)}")


(bucket / "a.json").write_text('{"tea": 3}')
ask("Everything is empty: the bucket is asked.", ("a.json", "v1"))
ask("Once more: the parsed file is there.", ("a.json", "v1"))
ask("A new parser: the raw file is there.", ("a.json", "v2"))
ask("No such file: nothing is kept.", ("b.json", "v2"))
(bucket / "a.json").write_text('{"tea": 4}')
cache.invalidate("file", "a.json")
ask("The file has changed: nothing old is served, by no layer.", ("a.json", "v2"))
cache.runtime.local.clear()
ask("Memory was emptied: the copy in the folder is valid.", ("a.json", "v2"))
