"""``flask cache``: the verbs of the core for the caches of an app."""

from __future__ import annotations

import json

import click
import pytest
from flask import Flask

from flask_ext import CacheCore


@pytest.fixture
def run(app):
    """Runs the command: ``run("cache", "stats")``."""
    runner = app.test_cli_runner()
    return lambda *arguments: runner.invoke(args=arguments)


def test_figures_are_shown_for_people_and_programs(run, client):
    """Those of the app that the command runs for."""
    client.get("/user/7")
    assert "GetUser" in run("cache", "stats").output
    data = json.loads(run("cache", "stats", "--json").output)
    assert data["use_cases"]["GetUser"]["loads"] == 1


def test_it_tells_why_the_next_call_would_be_a_miss(run, client):
    """With the arguments of the function."""
    assert "is a miss" in run("cache", "explain", "GetUser", "7").output
    client.get("/user/7")
    assert "is a hit" in run("cache", "explain", "GetUser", "7").output


def test_it_invalidates(run, client, users):
    """The next request loads."""
    client.get("/user/7")
    assert run("cache", "invalidate", "user_id", "7").exit_code == 0
    client.get("/user/7")
    assert users.loads[7] == 2


@pytest.mark.parametrize(
    "arguments",
    [["explain", "GetUsr", "7"], ["explain", "GetUser"], ["unknown"], []],
    ids=["use case", "arguments", "verb", "nothing"],
)
def test_what_cannot_be_done_ends_with_2(run, arguments):
    """And says why."""
    result = run("cache", *arguments)
    assert result.exit_code == 2
    assert result.output


def test_help_is_that_of_the_verbs(run):
    """Click's own would know of no verb."""
    result = run("cache", "--help")
    assert result.exit_code == 0
    assert "doctor" in result.output


def test_an_app_with_several_caches_is_asked_for_one():
    """By name; the default one otherwise."""
    app = Flask("shop")
    app.config["SECRET_KEY"] = "only for tests"
    for name in ("default", "pages"):
        CacheCore(name=name).init_app(app)
    run = app.test_cli_runner().invoke
    stats = run(args=["cache", "--cache", "pages", "stats", "--json"]).output
    assert json.loads(stats)["namespace"] == "app.pages"
    assert json.loads(run(args=["cache", "stats", "--json"]).output)["namespace"] == "app"


def test_a_command_of_the_app_is_not_overwritten(caplog):
    """Ours has another name then, and the log says so."""
    app = Flask("shop")

    @app.cli.command("cache")
    def own():
        click.echo("own")

    CacheCore().init_app(app)
    run = app.test_cli_runner().invoke
    assert run(args=["cache"]).output == "own\n"
    assert "stats" in run(args=["cachecore", "--help"]).output
    assert "'cachecore'" in caplog.text
