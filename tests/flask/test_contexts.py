"""Contexts that end twice, in other threads, or that tasks bring along."""

from __future__ import annotations

import threading

from flask import (
    appcontext_tearing_down,
    copy_current_request_context,
    has_app_context,
    request_tearing_down,
)


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def as_task(app, function):
    """*function* as a Celery task whose class pushes an app context, as Flask documents it."""

    def task(*args):
        with app.app_context():
            return function(*args)

    return task


def test_teardown_functions_may_run_twice(app, client, cache, users):
    """As for streamed responses in Flask 3.1; the scope is ended by who began it."""

    @app.get("/torn")
    def torn():
        first = users.get(7)
        request_tearing_down.send(app, exc=None)
        appcontext_tearing_down.send(app, exc=None)
        return f"{first} {users.get(7)} {cache.is_enabled}"

    assert [client.get("/torn").text for _ in range(2)] == ["Ada Ada True"] * 2
    assert users.loads[7] == 1


def test_ending_another_apps_context_twice_is_harmless(make_app, users):
    """What was set aside for it is taken up once."""
    one, two = make_app("one"), make_app("two")

    @one.get("/both")
    def both():
        first = users.get(7)
        with two.app_context():
            appcontext_tearing_down.send(two, exc=None)
        appcontext_tearing_down.send(one, exc=None)
        return f"{first} {users.get(7)}"

    assert one.test_client().get("/both").text == "Ada Ada"
    assert users.loads[7] == 1


def test_an_eager_task_is_part_of_its_request(app, client, cache, users):
    """Its app context is another one, with a g of its own; what it writes is seen."""

    def rename():
        users.rows[7] = "Grace"
        cache.invalidate("user_id", 7)
        return users.get(7)

    @app.get("/eager")
    def eager():
        return f"{users.get(7)} {as_task(app, rename)()} {users.get(7)}"

    assert client.get("/eager").text == "Ada Grace Grace"


def test_a_task_of_a_worker_is_uncached_until_it_asks(app, cache, users):
    """A worker's app context may live for hours; nothing is remembered in it."""

    def work():
        off = [users.get(7), users.get(7)]
        with cache.enable():
            on = [users.get(7), users.get(7)]
        return off + on

    assert in_thread(as_task(app, work)) == ["Ada"] * 4
    assert users.loads[7] == 3


def test_each_task_of_a_worker_has_a_scope_of_its_own(app, cache, users):
    """What another process wrote between two tasks is seen by the second one."""

    def work():
        with cache.enable():
            return users.get(7)

    task = as_task(app, work)

    def worker():
        first = task()
        users.rows[7] = "Grace"
        in_thread(lambda: cache.for_app(app).invalidate("user_id", 7))
        return first, task(), has_app_context()

    assert in_thread(worker) == ("Ada", "Grace", False)


def test_a_write_of_a_thread_with_a_copied_request_context(app, client, cache, users):
    """It has no scope in common with the request, which keeps what it was given until it says so."""

    @app.get("/copied")
    def copied():
        first = users.get(7)

        @copy_current_request_context
        def work():
            users.rows[7] = "Grace"
            cache.invalidate("user_id", 7)

        in_thread(work)
        kept = users.get(7)
        cache.distrust_scope()
        return f"{first} {kept} {users.get(7)}"

    assert client.get("/copied").text == "Ada Ada Grace"


def test_requests_of_threads_do_not_share_what_they_remember(app, cache, users):
    """Two workers of one process: each request reads its own versions."""
    first, second = app.test_client(), app.test_client()
    assert in_thread(lambda: first.get("/user/7").text) == "Ada"
    users.rows[7] = "Grace"
    cache.for_app(app).invalidate("user_id", 7)
    assert in_thread(lambda: second.get("/user/7").text) == "Grace"
    assert in_thread(lambda: first.get("/user/7").text) == "Grace"
