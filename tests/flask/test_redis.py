"""Several apps and processes on one Redis."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask

from flask_ext import CacheCore

ROOT = Path(__file__).resolve().parents[2]
PYTHON = (sys.executable, "-W", "error", "-c")
SCRIPT = """
    import sys
    from flask import Flask
    from flask_ext import CacheCore

    url, namespace, secret, work = sys.argv[1:]
    cache, app = CacheCore(), Flask("other")
    app.secret_key = secret
    cache.init_app(app, {"REDIS": url, "NAMESPACE": namespace, "DEFAULT": {"TTL": 60}})

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get(user_id):
        return "loaded elsewhere"

    if work == "read":
        app.add_url_rule("/", view_func=lambda: get(7))
        print(app.test_client().get("/").text)
    else:
        with app.app_context():
            print(cache.invalidate("user_id", 7).value)
    cache.close()
"""


@pytest.fixture
def worker(redis_server, request):
    """Makes an app with a declaration of its own, as another worker process has one."""
    namespace = f"flask.{request.node.name}"[:60].replace("[", ".").replace("]", "")
    made = []

    def make(rows, secret="only for tests"):
        cache, app = CacheCore(), Flask("worker")
        app.secret_key = secret
        config = {"REDIS": redis_server.patient_url, "NAMESPACE": namespace, "DEFAULT": {"TTL": 60}}
        cache.init_app(app, config)
        made.append(cache)
        loads = []

        @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
        def get(user_id):
            loads.append(user_id)
            return rows[user_id]

        app.add_url_rule("/<int:user_id>", view_func=get)
        return SimpleNamespace(
            cache=cache, app=app, get=app.test_client().get, loads=loads, namespace=namespace
        )

    yield make
    for cache in made:
        cache.close()


def elsewhere(redis_server, namespace, work, secret="only for tests"):
    """What another process prints that does *work*."""
    done = subprocess.run(
        [*PYTHON, textwrap.dedent(SCRIPT), redis_server.patient_url, namespace, secret, work],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_entry_is_shared_with_another_process(redis_server, worker):
    """What this process loaded, another one reads; both sign with the app's secret key."""
    here = worker({7: "Ada"})
    assert here.get("/7").text == "Ada"
    assert elsewhere(redis_server, here.namespace, "read") == "Ada"


def test_an_entry_signed_with_another_secret_key_is_not_read(redis_server, worker):
    """A foreign signature is a miss: the other process loads."""
    here = worker({7: "Ada"})
    here.get("/7")
    assert elsewhere(redis_server, here.namespace, "read", "another key") == "loaded elsewhere"


def test_an_invalidation_reaches_another_process(redis_server, worker):
    """The next request here does not get the local entry that another process invalidated."""
    rows = {7: "Ada"}
    here = worker(rows)
    here.get("/7")
    rows[7] = "Grace"
    assert here.get("/7").text == "Ada"
    assert elsewhere(redis_server, here.namespace, "invalidate") == "ok"
    assert here.get("/7").text == "Grace"


def test_two_apps_in_one_process_share_entries_and_invalidations(worker):
    """Two apps with the same namespace behave as two processes do."""
    rows = {7: "Ada"}
    one, two = worker(rows), worker(rows)
    assert [one.get("/7").text, two.get("/7").text] == ["Ada", "Ada"]
    assert [one.loads, two.loads] == [[7], []]
    rows[7] = "Grace"
    two.cache.for_app(two.app).invalidate("user_id", 7)
    assert [one.get("/7").text, two.get("/7").text] == ["Grace", "Grace"]


def test_async_views_use_redis_on_a_new_loop_each(worker):
    """Each async view of Flask runs on an event loop of its own; the second request works too."""
    here = worker({7: "Ada"})

    @here.cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUserAsync")
    async def get(user_id):
        here.loads.append("async")
        return "Ada"

    @here.app.get("/async")
    async def view():
        return await get(7)

    texts = []
    for _ in range(3):
        here.cache.for_app(here.app).runtime.local.clear()
        texts.append(here.get("/async").text)
    assert texts == ["Ada"] * 3
    assert here.loads == ["async"]
    stats = here.cache.for_app(here.app).stats()["use_cases"]["GetUserAsync"]
    assert stats["hits"]["remote"] == 2


def test_requests_go_on_when_redis_is_gone(private_redis):
    """A store that dies between two requests costs the cached value and nothing else."""
    server = private_redis()
    cache, app = CacheCore(), Flask("worker")
    cache.init_app(app, {"REDIS": server.url, "DEFAULT": {"TTL": 60}})

    @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser")
    def get(user_id):
        return "Ada"

    app.add_url_rule("/", view_func=lambda: get(7))
    client = app.test_client()
    assert client.get("/").text == "Ada"
    server.kill()
    assert client.get("/").text == "Ada"
    cache.close()
