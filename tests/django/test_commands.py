"""``manage.py cache_core``: the verbs of the console for the project's cache."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import Warning as CheckWarning
from django.core.checks import register
from django.core.checks.registry import registry
from django.core.management import CommandError, call_command
from django.test import override_settings

from cache_core.console import DONE, REFUSED, WRONG
from cache_core.testing import FakeStore
from django_ext import cache
from django_ext.management.commands.cache_core import Command
from django_ext.testing import assert_invalidates
from tests.django.library.caching import get_author
from tests.django.library.models import Author

ROOT = Path(__file__).resolve().parents[2]
MIDDLEWARE = "django_ext.middleware.CacheScopeMiddleware"


def run(*words):
    """What the command prints; as data where it is JSON."""
    out = io.StringIO()
    call_command("cache_core", *words, stdout=out)
    return json.loads(out.getvalue()) if "--json" in words else out.getvalue()


def run_wrong(*words):
    """The same where it ends with the exit code for that something is wrong."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("cache_core", *words, stdout=out)
    assert ended.value.code == WRONG
    return json.loads(out.getvalue()) if "--json" in words else out.getvalue()


@pytest.fixture(autouse=True)
def no_failures(monkeypatch):
    """Those of other tests are not ours."""
    monkeypatch.setattr(cache.transactions, "failures", 0)


@pytest.fixture
def store():
    """A shared store, as most projects have one; with it the doctor is content."""
    made = FakeStore(cache.clock)
    with override_settings(CACHE_CORE={"REMOTE": made}):
        yield made


def test_stats_have_what_only_django_knows():
    """The figures of the project's cache."""
    data = run("stats", "--json")
    assert data["failed_invalidations"] == 0
    assert "GetAuthor" in data["use_cases"]
    assert "GetAuthor" in run("stats")


def test_ramps_follow_the_settings():
    """A setting wins over the code."""
    with override_settings(CACHE_CORE={"USE_CASES": {"GetAuthor": {"RAMP": 25}}}):
        data = run("ramps", "--json")
    assert data["GetAuthor"]["ramp_local"] == {"value": 25, "source": "settings"}


def test_use_cases_of_views_are_known(tmp_path, monkeypatch):
    """Nobody has imported the views of a project when a command begins."""
    views = "from django_ext import cache\ncache.cached(use_case='OfAView', ttl=5)(lambda: 1)\n"
    (tmp_path / "urls_of_a_command.py").write_text(f"{views}urlpatterns = []\n")
    monkeypatch.syspath_prepend(tmp_path)
    with override_settings(ROOT_URLCONF="urls_of_a_command"):
        assert "OfAView" in run("ramps", "--json")


def test_views_that_cannot_be_imported_are_told():
    """And the rest works."""
    err = io.StringIO()
    with override_settings(ROOT_URLCONF="no.such.module"):
        call_command("cache_core", "ramps", stdout=io.StringIO(), stderr=err)
    assert "the URLs fail: No module named 'no'" in err.getvalue()


def test_a_call_is_explained():
    """From the words of a command line."""
    author = Author.objects.create(name="Ada")
    with cache.enable():
        get_author(author.pk)
    assert run("explain", "GetAuthor", str(author.pk)).startswith("The next read is a hit")
    assert run("explain", "GetAuthor", "0", "--json")["outcome"] == "miss"


def test_what_changed_elsewhere_is_invalidated():
    """By type and id."""
    with assert_invalidates(("author_id", 7), only=True):
        run("invalidate", "author_id", "7")
    with assert_invalidates(only=True):
        assert "author_id 7" in run("invalidate", "author_id", "7", "--dry-run")


def test_a_flush_invalidates_everything():
    """Nobody sits at this terminal to be asked."""
    with assert_invalidates(("author_id", 7)):
        run("flush")


def test_the_doctor_is_content(store):
    """A store, a middleware, signed entries."""
    data = run("doctor", "--fail-on", "warning", "--json")
    assert data["ok"]
    assert {each["severity"] for each in data["findings"]} == {"info"}


def test_the_doctor_misses_the_middleware(store):
    """What the system checks know, it knows."""
    with override_settings(MIDDLEWARE=[]):
        data = run("doctor", "--json")
        assert run_wrong("doctor", "--fail-on", "warning")
    (finding,) = [each for each in data["findings"] if each["severity"] == "warning"]
    assert finding["id"] == "cache_core.W001"
    assert MIDDLEWARE in finding["remedy"]


def test_the_doctor_keeps_to_the_cache(store, monkeypatch):
    """Checks of others are theirs."""
    monkeypatch.setattr(registry, "registered_checks", set(registry.registered_checks))
    register(lambda **_: [CheckWarning("of others", id="others.W001")])
    assert run("doctor", "--fail-on", "warning", "--json")["ok"]


def test_the_doctor_knows_of_failures(store, monkeypatch):
    """Invalidations that an error prevented."""
    monkeypatch.setattr(cache.transactions, "failures", 2)
    data = run_wrong("doctor", "--json")
    assert data["findings"][0]["id"] == "invalidations.failed"
    assert "prevented 2" in data["findings"][0]["text"]


def test_the_doctor_tells_of_wrong_settings_once():
    """The checks of the app say the same."""
    with override_settings(CACHE_CORE={"NAMESPASE": "x"}):
        data = run_wrong("doctor", "--json")
    assert [each["id"] for each in data["findings"]] == ["settings.wrong"]


def test_a_store_that_is_down_is_an_error(store):
    """For deployments."""
    store.down = True
    assert "store.unreachable" in run_wrong("doctor")
    assert "did not acknowledge" in run_wrong("flush")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("explain", "GetAutor", "7"), "Did you mean 'GetAuthor'"),
        (("invalidate",), "Nothing to invalidate"),
        (("flush", "--sweep"), "no store"),
    ],
)
def test_what_cannot_be_done_is_refused(words, message):
    """With one sentence and another exit code."""
    with pytest.raises(CommandError, match=message) as refused:
        run(*words)
    assert refused.value.returncode == REFUSED


def test_wrong_settings_are_refused_with_what_is_wrong():
    """By every verb but the doctor."""
    with (
        override_settings(CACHE_CORE={"NAMESPASE": "x"}),
        pytest.raises(CommandError, match="Did you mean 'namespace'"),
    ):
        run("ramps")


def templates(folder, **files):
    """Settings under which the templates of the project are *files*."""
    for name, text in files.items():
        path = folder / "pages" / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{% load cache_core %}" + text)
    (folder / "logo.html").write_bytes(b"\xff\xfe")
    loaders = {"DIRS": [folder], "APP_DIRS": True}
    backend = "django.template.backends.django.DjangoTemplates"
    return override_settings(TEMPLATES=[{"BACKEND": backend, **loaders}])


def test_the_fragments_of_templates_are_known(tmp_path):
    """Though no page was rendered in this process."""
    with templates(tmp_path, a="{% cached 300 CommandsSidebar %}x{% endcached %}"):
        assert "CommandsSidebar" in run("ramps", "CommandsSidebar")
        assert "CommandsSidebar" in run("invalidate", "--use-case", "CommandsSidebar", "--dry-run")
        assert "CommandsSidebar" in run("stats", "--json")["use_cases"]


def test_a_template_that_is_wrong_stops_no_command(tmp_path):
    """The others are known, and the error output says why this one is not."""
    errors = io.StringIO()
    fine = "{% cached 300 CommandsFine %}x{% endcached %}"
    with templates(tmp_path, a="{% cached 300 CommandsBroken %}x", b=fine):
        call_command("cache_core", "ramps", stdout=io.StringIO(), stderr=errors)
        assert "CommandsFine" in run("ramps", "--json")
    assert "The fragments of pages/a.html are unknown" in errors.getvalue()


@pytest.mark.parametrize("verb", ["doctor", "stats", "relay"])
def test_every_verb_explains_itself(verb, capsys):
    """With the options that Django gives every command."""
    with pytest.raises(SystemExit) as ended:
        Command().create_parser("manage.py", "cache_core").parse_args([verb, "--help"])
    assert ended.value.code == 0
    assert "--settings" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["--settings", "a.b", "-v", "3", "--traceback", "stats", "--json"],
        ["stats", "--json", "--settings", "a.b", "-v", "3", "--traceback"],
        ["--settings", "a.b", "--traceback", "stats", "--json", "-v", "3"],
    ],
)
def test_options_of_django_stand_anywhere(words):
    """Before the verb and after it."""
    given = Command().create_parser("manage.py", "cache_core").parse_args(words)
    assert (given.settings, given.verbosity, given.traceback) == ("a.b", 3, True)
    assert given.json


def test_a_process_exits_with_these_codes(redis_server):
    """As a shell sees it: output and errors apart, and Redis explained from another process."""
    code = (
        "import sys; from django.conf import settings; from tests import settings as own\n"
        f"own.CACHE_CORE = {{'REDIS': {redis_server.patient_url!r}, 'NAMESPACE': 'commands'}}\n"
        "from django.core.management import execute_from_command_line as run\n"
        "run(['manage.py', 'cache_core', *sys.argv[1:]])"
    )

    def shell(*words):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", code, *words]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    author = Author.objects.create(name="Ada")
    settings = {"REDIS": redis_server.patient_url, "NAMESPACE": "commands"}
    with override_settings(CACHE_CORE=settings):
        cache.flush()
        with cache.enable():
            get_author(author.pk)
        done = shell("explain", "GetAuthor", str(author.pk))
        assert (done.returncode, done.stderr) == (DONE, "")
        assert "the remote layer has an entry" in done.stdout
        assert shell("invalidate", "author_id", str(author.pk)).returncode == DONE
        with cache.enable():
            assert get_author.answer(author.pk).layer is None
        cache.close()
    refused = shell("invalidate", "author_id", "--settings", "tests.settings")
    assert (refused.returncode, refused.stdout) == (REFUSED, "")
    assert refused.stderr.startswith("CommandError: Give ids")
