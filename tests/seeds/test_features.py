"""The page of features is true: each feature of a seed has a row, and each row a test that exists."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")

FEATURES = {
    "gcache": (
        *("structured keys: key type, id, arguments, use case", "urn as final key", "urn_prefix"),
        *("default use case: module and function", "reserved names", "local and remote layer"),
        *("read-through on a miss, filling each layer", "no Redis: local only"),
        *("Redis configuration with TLS", "Redis Cluster", "RedisConfigConflict"),
        "custom client factory, per thread or loop",
        "decorator for functions and coroutine functions",
        *("id_arg with a callable", "arg_adapters", "ignore_args", "disabled unless enabled"),
        *("enable() nests and restores", "ramp 0 to 100 by layer", "runtime config provider"),
        *("default_config", "config collections by environment", "targeted invalidation"),
        "GCacheKeyConfig.load_configs and dump_configs",
        *("track_for_invalidation", "ainvalidate, adelete, aflushall"),
        *("future invalidation buffer", "delete of one entry", "flushall", "None is cached"),
        "exceptions of the source propagate and are not cached",
        *("fails open on reads", "serializer by use case", "JSON envelope", "protobuf envelope"),
        "conformance vectors for other languages",
        "corrupt entry is a miss with a reason and rewritten",
        *("direct get and put", "hit hook: return, or evict and fall back"),
        "hit hook that fails bypasses the layer",
        "metrics: requests, misses, disabled, errors, invalidations",
        *("metrics: latencies and sizes", "Prometheus"),
        *("shadow reads against the source of truth", "UseCaseIsAlreadyRegistered"),
    ),
    "HermesCache": (
        *("tag-based invalidation", "computed tags (wished for there)", "clean()"),
        *("f.invalidate(*args)", "dogpile prevention in threads and tasks", "thread-safety"),
        *("dogpile prevention between processes", "caching of methods"),
        *("classmethods and staticmethods", "callables without a name", "decorated twice"),
        *("nested cached functions", "custom key function", "ttl by cache and by function"),
        *("ttl by a callable of the value and the arguments", "redis backend"),
        *("memcached backend", "in-process backend", "interface for custom backends"),
        *("several caches with different backends", "backend replaced at run time"),
        *("lazy connection, instantiation without side effects", "no-op backend"),
        *("pluggable serialiser", "compression from a size", "pluggable compressor"),
        "coroutine functions",
    ),
    "cacheado": (
        *("decorator with ttl and scope", "scope hierarchies, several trees"),
        *("validation of scope parameters", "isolation of tenants"),
        *("evict_by_scope, with all levels below", "evict_by_scope tells how many entries"),
        *("set, get, evict by hand, sync and async", "ttl of one value"),
        *("global limit of entries", "limit of entries by function"),
        *("LRU and other eviction policies", "background cleanup", "storage providers"),
        *("stampede protection", "statistics", "logs"),
        "arguments that cannot be a key skip the cache",
    ),
    "versioned-lru-cache": (
        "version function decides whether work is redone",
        *("version asked once in a session", "any session: mapping, proxy, Flask's g"),
        *("one state of the work for a whole session", "LRU with a maximum size"),
        *("time to live beside the version", "no round trip for a hit"),
    ),
    "multilayer-cache": (
        *("layers on layers", "trees of layers", "keys transformed inwards, values outwards"),
        *("stores that the user brings", 'a unique "not found", stored nowhere'),
        *("None is a value", "inspect events with identifier", "async layers"),
        "type hints ahead of time",
    ),
}
"""What the documents of each seed promise, and what their later releases added for users."""


def sections() -> dict[str, list[list[str]]]:
    """Heading -> the rows of the table below it, each as its cells."""
    found: dict[str, list[list[str]]] = {}
    for part in PAGE.split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)[1:]
        found[heading] = [row.split(" | ") for row in rows]
    return found


SECTIONS = sections()
TESTS = sorted({row[2].strip("`") for rows in SECTIONS.values() for row in rows})


@lru_cache
def names_in(file: str) -> frozenset[str]:
    """The names of the test functions of a file, those of classes included."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = (node.name for node in ast.walk(tree) if isinstance(node, functions))
    return frozenset(name for name in names if name.startswith("test_"))


@pytest.mark.parametrize("seed", list(FEATURES))
def test_every_feature_of_a_seed_has_a_row(seed):
    """None is left out, and none stands there twice."""
    named = [row[0] for row in SECTIONS[seed]]
    assert sorted(named) == sorted(FEATURES[seed])


def test_every_row_names_a_test_that_exists():
    """A test that is renamed or removed is missed here."""
    missing = []
    for test in TESTS:
        file, _, name = test.partition("::")
        if not (ROOT / file).is_file() or (name and name not in names_in(file)):
            missing.append(test)
    assert missing == []


def test_only_uses_for_type_checkers_have_no_name():
    """Everything else is a test by name."""
    assert [test for test in TESTS if "::" not in test] == ["tests/typing/chains.py"]
