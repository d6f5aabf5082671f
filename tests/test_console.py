"""The verbs that every adapter offers: what they find and do, say, and exit with."""

from __future__ import annotations

import json
import re
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from cache_core import Cache, DeclarationError, Policy
from cache_core.console import DONE, WRONG, Refusal, add_arguments, execute
from cache_core.console.result import fields, table
from cache_core.console.verbs import ask
from cache_core.doctor import Finding, Severity
from cache_core.testing import FakeClock, FakeStore, capture_invalidations


class Shop:
    """A cache and a terminal in front of it."""

    def __init__(self):
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.cache = cache = Cache(clock=self.clock, remote=self.store, namespace="shop")
        self.asked = []
        self.agrees = True

        @cache.cached(key_type="user_id", id_arg="user_id", use_case="GetUser", ttl="5m")
        def get_user(user_id, lang="en"):
            return {"id": user_id}

        @cache.cached(use_case="GetMenu", ttl=60, tenant={"org": "org", "team": "team"})
        async def get_menu(org, team=1):
            return []

        self.get_user = get_user

    def run(self, *words, **others):
        parser = ArgumentParser()
        add_arguments(parser)
        options = vars(parser.parse_args(words))
        return execute(self.cache, options, confirm=self._confirm, **others)

    def _confirm(self, question):
        self.asked.append(question)
        return self.agrees


@pytest.fixture
def shop():
    return Shop()


# -- stats and ramps -------------------------------------------------------------------------------


def test_stats_are_those_of_the_cache(shop):
    """As data the very figures, as text a table of use cases."""
    with shop.cache.enable():
        shop.get_user(7)
        shop.get_user(7)
    result = shop.run("stats")
    assert result.data == shop.cache.stats()
    assert result.code == DONE
    (line,) = [line for line in result.text.splitlines() if line.startswith("GetUser")]
    assert line.split()[:4] == ["GetUser", "2", "0.5", "1"]


@pytest.mark.parametrize("verb", ["stats", "ramps"])
def test_only_some_use_cases_may_be_shown(shop, verb):
    """Those that are named."""
    text = shop.run(verb, "GetMenu").text
    assert "GetMenu" in text
    assert "GetUser" not in text


@pytest.mark.parametrize("words", [("stats", "GetUsr"), ("ramps", "GetUsr"), ("explain", "GetUsr")])
def test_an_unknown_use_case_is_refused(shop, words):
    """With the name that was probably meant."""
    with pytest.raises(Refusal, match=r"'GetUsr'\. Did you mean 'GetUser'"):
        shop.run(*words)


def test_ramps_tell_what_holds_and_who_said_so(shop):
    """Override, code and built-in values."""
    shop.cache.override("GetUser", Policy(ramp={"local": 12.5}, note="slowly"))
    result = shop.run("ramps")
    assert result.data["GetUser"]["ramp_local"] == {"value": 12.5, "source": "override"}
    assert result.data["GetUser"]["ttl_remote"] == {"value": 300, "source": "code"}
    (line,) = [line for line in result.text.splitlines() if line.startswith("GetUser")]
    told = ["GetUser", "yes", "12.5 %", "5 min", "100 %", "5 min", "built-in, override, code"]
    assert re.split(r"\s{2,}", line) == [*told, "slowly"]


def test_without_use_cases_it_says_so():
    """Perhaps a module was not imported."""
    shop = Shop()
    shop.cache = Cache()
    assert "No use case" in shop.run("ramps").text


# -- explain ---------------------------------------------------------------------------------------


def test_a_call_is_explained_from_words(shop):
    """Numbers are numbers, and a parameter may be given by its name."""
    with shop.cache.enable():
        shop.get_user(7, lang="de")
    result = shop.run("explain", "GetUser", "7", "lang=de")
    assert result.data["outcome"] == "hit"
    assert result.text.startswith("The next read is a hit: the local layer")
    assert "urn:shop:user_id:7?lang=de#GetUser" in result.text
    assert "{user_id:7}" in result.text
    assert result.text.count("this process") == 1
    assert result.data["layers"][0]["filled_by"] == "this process"


def test_a_word_with_an_equals_sign_may_be_an_argument(shop):
    """Where no parameter has that name."""
    assert "user_id:a%3Db" in shop.run("explain", "GetUser", "a=b").data["key"]


def test_a_coroutine_function_is_explained(shop):
    """On a loop of its own."""
    assert shop.run("explain", "GetMenu", "3").data["outcome"] == "miss"


@pytest.mark.parametrize("words", [(), ("7", "en", "too many"), ("[1]",)])
def test_arguments_that_do_not_fit_are_refused(shop, words):
    """With what Python or the key has to say."""
    with pytest.raises(Refusal, match="GetUser: "):
        shop.run("explain", "GetUser", *words)


# -- invalidate and flush --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "things"),
    [
        (("user_id", "7", "8"), {"{user_id:7}", "{user_id:8}"}),
        (("user_id", "--all"), {"{user_id:*}"}),
        (("--tag", "a", "--tag", "b"), {"{t:a}", "{t:b}"}),
        (("--use-case", "GetUser"), {"{uc:GetUser}"}),
        (("--tenant", "org=3"), {"{org:3}/"}),
        (("user_id", "7", "--tag", "a"), {"{user_id:7}", "{t:a}"}),
    ],
)
def test_what_is_named_is_invalidated(shop, words, things):
    """Entities, types, tags, use cases and tenants; several in one go."""
    with capture_invalidations(shop.cache) as captured:
        result = shop.run("invalidate", *words)
    assert result.code == DONE
    assert result.data["delivered"]
    assert {thing for thing in captured.things if not thing.endswith("+}")} == things


def test_a_quarantine_may_be_given(shop):
    """For sources that lag behind."""
    shop.run("invalidate", "user_id", "7", "--buffer-ms", "5000")
    with shop.cache.enable():
        shop.get_user(7)
    bypasses = shop.cache.stats()["use_cases"]["GetUser"]["bypasses"]
    assert bypasses == {"all": {"marked": 1}}


@pytest.mark.parametrize(
    "words", [("invalidate", "user_id", "7", "--tenant", "org=3"), ("flush",), ("flush", "--sweep")]
)
def test_a_dry_run_does_nothing(shop, words):
    """It says what would be done, and asks nothing."""
    shop.store.__class__.sweep = lambda _: pytest.fail("swept")
    try:
        with capture_invalidations(shop.cache) as captured:
            result = shop.run(*words, "--dry-run")
    finally:
        del shop.store.__class__.sweep
    assert captured.things == []
    assert shop.asked == []
    assert result.code == DONE
    assert result.data["dry_run"]
    assert result.text.startswith("To be invalidated:")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Nothing to invalidate was named"),
        (("user_id",), "Give ids of 'user_id', or --all"),
        (("user_id", "7", "--all"), "and not both"),
        (("--all",), "needs a KEY_TYPE"),
        (("--use-case", "GetUsr"), "Did you mean 'GetUser'"),
    ],
)
def test_what_cannot_be_meant_is_refused(shop, words, message):
    """Nothing is invalidated then."""
    with capture_invalidations(shop.cache) as captured, pytest.raises(Refusal, match=message):
        shop.run("invalidate", *words)
    assert captured.things == []


def test_an_unknown_tenant_path_is_refused(shop):
    """As by the cache itself, in a dry run, too."""
    with pytest.raises(DeclarationError, match="Declared paths: org, team"):
        shop.run("invalidate", "--tenant", "team=3", "--dry-run")


def test_an_unknown_key_type_is_done_with_a_warning(shop):
    """It may be misspelt, or be known to another process only."""
    result = shop.run("invalidate", "user-id", "7")
    assert result.code == DONE
    assert "Did you mean 'user_id'" in result.data["warnings"][0]
    assert shop.run("invalidate", "user_id", "7").data["warnings"] == []


@pytest.mark.parametrize(
    ("words", "asks"),
    [
        (("flush",), True),
        (("flush", "--yes"), False),
        (("invalidate", "user_id", "--all"), True),
        (("invalidate", "--use-case", "GetUser"), True),
        (("invalidate", "user_id", "7", "--tag", "a"), False),
    ],
)
def test_what_has_wide_effects_is_asked_for(shop, words, asks):
    """Who declines has done nothing, and the exit code says so."""
    shop.agrees = False
    with capture_invalidations(shop.cache) as captured:
        result = shop.run(*words)
    assert bool(shop.asked) is asks
    assert result.code == (WRONG if asks else DONE)
    assert bool(captured.things) is not asks


def test_a_store_that_does_not_acknowledge_is_an_error(shop):
    """A script must not go on as if it were done."""
    shop.store.down = True
    result = shop.run("invalidate", "user_id", "7")
    assert result.code == WRONG
    assert not result.data["delivered"]
    assert "did not acknowledge" in result.text


def test_one_target_that_fails_does_not_keep_back_the_others(shop):
    """Each of them waits in this process until it ends."""
    shop.store.down = True
    shop.run("invalidate", "user_id", "7", "--tag", "a")
    assert shop.cache.stats()["undelivered_invalidations"] == 2


def test_a_cache_that_raises_is_an_error_all_the_same(shop):
    """Whatever on_invalidation_failure says."""
    shop.cache.configure(remote=shop.store, on_invalidation_failure="raise")
    shop.store.down = True
    assert shop.run("flush").code == WRONG


def test_a_flush_may_free_the_store(shop, monkeypatch):
    """Where it can be swept."""
    monkeypatch.setattr(FakeStore, "sweep", lambda _: 3, raising=False)
    result = shop.run("flush", "--sweep")
    assert result.data["swept"] == 3
    assert "3 keys" in result.text


def test_what_cannot_be_swept_is_refused(shop):
    """Before anything is done."""
    with capture_invalidations(shop.cache) as captured, pytest.raises(Refusal, match="--sweep"):
        shop.run("flush", "--sweep")
    assert captured.things == []


# -- doctor ----------------------------------------------------------------------------------------


def findings(*severities):
    return [Finding(f"some.{each.value}", each, "It is so.", "Do that.") for each in severities]


@pytest.mark.parametrize(
    ("severity", "fail_on", "code"),
    [
        (Severity.ERROR, "error", WRONG),
        (Severity.WARNING, "error", DONE),
        (Severity.WARNING, "warning", WRONG),
        (Severity.INFO, "warning", DONE),
    ],
)
def test_the_doctors_exit_code_is_for_deployments(shop, severity, fail_on, code):
    """From which severity on it fails can be said."""
    result = shop.run("doctor", "--fail-on", fail_on, examine=lambda _: findings(severity))
    assert result.code == code
    assert result.data["ok"] is (code == DONE)


def test_the_doctor_tells_what_to_do(shop):
    """The id, one sentence, and the remedy."""
    result = shop.run("doctor", examine=lambda _: findings(Severity.ERROR))
    assert result.text == "ERROR some.error\n  It is so.\n  Do that.\n\nSomething is wrong."


def test_the_core_has_a_doctor_of_its_own(shop):
    """For adapters that know no more."""
    assert {each["id"] for each in shop.run("doctor").data["findings"]} >= {"store.answers"}


# -- the terminal ----------------------------------------------------------------------------------


def test_every_answer_is_json(shop):
    """Or text, as one likes."""
    for words in (("stats",), ("ramps",), ("explain", "GetUser", "7"), ("doctor",), ("flush",)):
        result = shop.run(*words)
        assert json.loads(result.shown(as_json=True))
        assert result.shown(as_json=False) == result.text


@pytest.mark.parametrize(("typed", "agrees"), [("y", True), ("Yes ", True), ("", False)])
def test_somebody_at_a_terminal_is_asked(monkeypatch, typed, agrees):
    """Silence is no consent."""
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: typed)
    assert ask("Really?") is agrees


@pytest.mark.parametrize("script", ["stdin", "stdout"])
def test_a_script_is_not_asked(monkeypatch, script):
    """Nobody is there to answer."""
    for name in ("stdin", "stdout"):
        is_terminal = name != script
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda on=is_terminal: on, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("asked"))
    assert ask("Really?")


def test_tables_line_up():
    """Whatever stands in them."""
    assert table(("a", "b"), [(1, None), ("long", 0.12345678)]) == "A     B\n1     -\nlong  0.1235"
    assert table(("a",), []) == ""
    assert fields([("name", True), ("x", False)]) == "name  yes\nx     no"


def test_every_verb_and_option_is_documented():
    """On the page of the one adapter that has them so far."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "django" / "commands.md").read_text()
    parser = ArgumentParser()
    add_arguments(parser)
    (verbs,) = [action.choices for action in parser._actions if action.dest == "verb"]
    for name, verb in verbs.items():
        assert f"| `{name} " in page or f"| `{name}` |" in page
        for option in {each for action in verb._actions for each in action.option_strings}:
            assert option in {"-h", "--help"} or f"`{option}" in page or f" {option} " in page
