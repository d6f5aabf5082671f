from __future__ import annotations

import copy
import dataclasses
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache_core.errors import ConfigurationError
from cache_core.policy import Policy
from cache_core.settings import NAMES, Settings

SECRET = "a secret of good length"


class Codec:
    id = 64
    name = "own"
    needs_signature = False

    def dumps(self, value):
        return b""

    def loads(self, payload):
        return None


class Remote:
    def perform(self, operation):
        return None

    async def aperform(self, operation):
        return None

    def describe(self):
        return "nowhere"

    def close(self):
        return None

    async def aclose(self):
        return None


def hook(event):
    return None


def ask(use_case):
    return None


@pytest.fixture
def shop(monkeypatch):
    """A module that dotted paths can name."""
    module = types.ModuleType("shop_for_settings")
    module.__dict__.update(hook=hook, ask=ask, Codec=Codec, number=5, Broken=lambda: None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def problems_of(make):
    with pytest.raises(ConfigurationError) as caught:
        make()
    return {problem.path: problem for problem in caught.value.problems}


def test_nothing_needs_to_be_set():
    """All settings have defaults, the same in every way to make them."""
    assert Settings() == Settings.from_mapping({}) == Settings.from_keywords()
    assert Settings().namespace == "app"
    assert Settings().local_max_bytes == 64 * 1024 * 1024


@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title])
def test_names_may_be_written_in_any_case(spell):
    """A Django dict in capitals and keywords in small letters mean the same."""
    mapping = {spell("local_max_entries"): "500", spell("enabled"): "no"}
    settings = Settings.from_mapping(mapping)
    assert settings == Settings(local_max_entries=500, enabled=False)


def test_policies_may_be_plain_data_or_policies():
    """DEFAULT and USE_CASES take both."""
    settings = Settings.from_mapping(
        {
            "DEFAULT": {"ttl": "1m"},
            "USE_CASES": {"GetUser": {"TTL": 300, "RAMP": {"LOCAL": 50}}, "B": Policy(ttl=1)},
        }
    )
    assert settings.default == Policy(ttl=60)
    assert settings.use_cases == {"GetUser": Policy(ttl=300, ramp_local=50), "B": Policy(ttl=1)}


def test_all_problems_come_at_once_with_their_paths():
    """Nested policies included, one error shows everything that has to be mended."""
    found = problems_of(
        lambda: Settings.from_mapping(
            {
                "NAMESPACE": "a:b",
                "LOCAL_MAX_ENTRIES": 0,
                "USE_CASES": {"GetUser": {"ttl": -5, "rmp": 5}, "B": 7},
                "DEFAULT": {"ramp": {"local": 101}},
                "SECRETS": "short",
                "HOOKS": [hook, 5],
                "LOCAL_MAX_ENTRYS": 5,
            }
        )
    )
    assert set(found) == {
        "CACHE_CORE['NAMESPACE']",
        "CACHE_CORE['LOCAL_MAX_ENTRIES']",
        "CACHE_CORE['USE_CASES']['GetUser']['ttl']",
        "CACHE_CORE['USE_CASES']['GetUser']['rmp']",
        "CACHE_CORE['USE_CASES']['B']",
        "CACHE_CORE['DEFAULT']['ramp']['local']",
        "CACHE_CORE['SECRETS']",
        "CACHE_CORE['HOOKS'][1]",
        "CACHE_CORE['LOCAL_MAX_ENTRYS']",
    }
    assert found["CACHE_CORE['LOCAL_MAX_ENTRYS']"].hint == "Did you mean 'local_max_entries'?"


def test_keywords_are_named_in_problems():
    """What was wrong with Cache(...) is shown as such."""
    found = problems_of(lambda: Settings.from_keywords(namespce="x", default={"ttl": -1}))
    assert set(found) == {"Cache(namespce=...)", "Cache(default=...)['ttl']"}


def test_settings_made_by_hand_are_checked_too():
    """There is no way around the checks."""
    assert set(problems_of(lambda: Settings(namespace=""))) == {"Settings(namespace=...)"}


def test_the_path_of_the_mapping_is_kept():
    """Later messages, as those about Redis, can begin with it."""
    assert Settings.from_mapping({}, path="app.config['X']").path == "app.config['X']"


def test_a_mapping_is_left_alone_and_let_go():
    """Reading changes nothing in the mapping, and later changes to it are not seen."""
    mapping = {"USE_CASES": {"A": {"ttl": "5"}}, "SECRETS": [SECRET], "REDIS": {"host": "h"}}
    before = copy.deepcopy(mapping)
    settings = Settings.from_mapping(mapping, environ={"CACHE_CORE__USE_CASES__B__TTL": "6"})
    assert mapping == before
    mapping["USE_CASES"]["C"] = {}
    assert set(settings.use_cases) == {"A", "B"}


def test_settings_cannot_be_changed():
    """Settings and their use cases are frozen."""
    settings = Settings(use_cases={"A": Policy()})
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.enabled = False
    with pytest.raises(TypeError):
        settings.use_cases["B"] = Policy()


@pytest.mark.parametrize("value", ["redis://:hunter2@host", None, 5, [("ENABLED", True)]])
def test_only_a_mapping_can_be_read(value):
    """Something else is a problem, and a URL in the wrong place is not shown."""
    found = problems_of(lambda: Settings.from_mapping(value))
    assert "hunter2" not in str(found["CACHE_CORE"])


@pytest.mark.parametrize("namespace", ["", "a b", "a:b", "{a}", "a*", "ä", "x" * 65, 5, "a\n"])
def test_a_namespace_that_would_confuse_keys_is_refused(namespace):
    """Only characters without a meaning in keys are allowed."""
    assert "Settings(namespace=...)" in problems_of(lambda: Settings(namespace=namespace))


@pytest.mark.parametrize("namespace", ["a", "shop-1.eu_west", "X" * 64])
def test_a_plain_namespace_is_accepted(namespace):
    """Letters, digits, underscore, dot and hyphen."""
    assert Settings(namespace=namespace).namespace == namespace


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SECRET, (SECRET.encode(),)),
        (SECRET.encode(), (SECRET.encode(),)),
        ([SECRET, b"another one, as long"], (SECRET.encode(), b"another one, as long")),
        ((), ()),
    ],
)
def test_secrets_become_bytes_in_order(value, expected):
    """One secret or several, text or bytes."""
    assert Settings(secrets=value).secrets == expected


@pytest.mark.parametrize("value", ["hunter2", [SECRET, "hunter2"], {"hunter2"}, [7], "", 5])
def test_a_bad_secret_is_refused_and_not_shown(value):
    """Short secrets, sets (which have no first) and other types are refused in silence."""
    found = problems_of(lambda: Settings(secrets=value))
    assert "hunter2" not in str(found["Settings(secrets=...)"])


@pytest.mark.parametrize(
    "redis",
    [
        "redis://user:hunter2@host:6379/0",
        "redis://host?password=hunter2",
        "redis://:a@hunter2/x?y@host",
        "hunter2",
        {"host": "h", "password": "hunter2"},
        types.SimpleNamespace(password="hunter2"),
    ],
)
def test_repr_shows_no_password(redis):
    """Neither the secrets nor what is in the Redis setting shows up in a log."""
    shown = repr(Settings(redis=redis, secrets="hunter2" * 3))
    assert "hunter2" not in shown
    assert "namespace='app'" in shown


def test_there_is_one_remote_layer():
    """A layer of another kind stands in place of Redis, and has to be a layer."""
    layer = Remote()
    assert Settings(remote=layer).remote is layer
    assert set(problems_of(lambda: Settings(remote=5))) == {"Settings(remote=...)"}
    both = problems_of(lambda: Settings(remote=layer, redis="redis://:hunter2@h"))
    assert "hunter2" not in str(both["Settings(remote=...)"])


def test_redis_is_kept_as_it_is():
    """The remote layer checks it; None is no remote layer."""
    options = {"host": "h"}
    assert Settings(redis=options).redis is options
    assert Settings().redis is None


@pytest.mark.parametrize("name", ["auto", "pickle", "json", "msgspec", "JSON"])
def test_codecs_have_names(name):
    """The codecs of the library are chosen by name."""
    assert Settings(codec=name).codec == name.lower()


def test_a_misspelt_codec_is_met_with_the_right_one():
    """A text that is neither a name nor a dotted path is a slip."""
    found = problems_of(lambda: Settings(codec="pikle"))
    assert found["Settings(codec=...)"].hint == "Did you mean 'pickle'?"


@pytest.mark.parametrize("value", [5, b"json", {}, object()])
def test_a_codec_must_be_able_to_work(value):
    """Objects without dumps and loads are refused."""
    assert "Settings(codec=...)" in problems_of(lambda: Settings(codec=value))


def test_pickle_over_redis_needs_a_secret():
    """Unsigned pickles from a shared store would run anybody's code."""
    unsigned = {"REDIS": "redis://h", "CODEC": "pickle"}
    for secrets in ({}, {"SECRETS": ()}):
        found = problems_of(lambda extra=secrets: Settings.from_mapping({**unsigned, **extra}))
        assert set(found) == {"CACHE_CORE['CODEC']"}
    assert Settings.from_mapping({**unsigned, "SECRETS": SECRET}).codec == "pickle"


def test_dotted_paths_are_imported(shop):
    """Objects can be named in settings; a class is called."""
    settings = Settings.from_mapping(
        {"HOOKS": [f"{shop}.hook"], "PROVIDER": f"{shop}:ask", "CODEC": f"{shop}.Codec"}
    )
    assert settings.hooks == (hook,)
    assert settings.provider.ask("GetUser") is None
    assert isinstance(settings.codec, Codec)


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("HOOKS", "no.such.module", "ModuleNotFoundError"),
        ("PROVIDER", "shop_for_settings.missing", "AttributeError"),
        ("PROVIDER", "shop_for_settings.number", "a callable"),
        ("CODEC", "shop_for_settings.hook", "dumps"),
        ("HOOKS", "hook", "dotted path"),
        ("HOOKS", 5, "callable"),
    ],
)
def test_a_dotted_path_that_leads_nowhere_is_told(shop, setting, value, told):
    """The problem names the setting, the path and the error."""
    (problem,) = problems_of(lambda: Settings.from_mapping({setting: value})).values()
    assert setting in problem.path
    assert told in str(problem)


def test_a_single_hook_needs_no_list():
    """One callable is a list of one."""
    assert Settings(hooks=hook).hooks == (hook,)


def test_everything_is_not_a_use_case():
    """What holds for all use cases stands in DEFAULT."""
    found = problems_of(lambda: Settings(use_cases={"*": Policy()}))
    assert "DEFAULT" in found["Settings(use_cases=...)['*']"].hint


def test_environment_variables_win_over_the_mapping():
    """Single settings, the default policy and policies of use cases, field by field."""
    settings = Settings.from_mapping(
        {
            "local_max_entries": 5,
            "DEFAULT": {"ttl": 60, "ramp": 10},
            "USE_CASES": {"GetUser": {"ttl": 5, "ramp": 1}},
        },
        environ={
            "CACHE_CORE__LOCAL_MAX_ENTRIES": "7",
            "CACHE_CORE__ENABLED": "False",
            "CACHE_CORE__DEFAULT__RAMP": "20",
            "CACHE_CORE__USE_CASES__GETUSER__RAMP": "2",
            "CACHE_CORE__USE_CASES__New__TTL": "3",
            "OTHER": "x",
        },
    )
    assert settings.local_max_entries == 7
    assert settings.enabled is False
    assert settings.default == Policy(ttl=60, ramp=20)
    assert settings.use_cases == {"GetUser": Policy(ttl=5, ramp=2), "New": Policy(ttl=3)}


def test_problems_in_variables_name_the_variable():
    """Wrong and unknown variables come together with the problems of the mapping."""
    found = problems_of(
        lambda: Settings.from_mapping(
            {"ENABLED": "x"},
            environ={
                "CACHE_CORE__LOCAL_MAX_ENTRIES": "many",
                "CACHE_CORE__NAMSPACE": "x",
                "CACHE_CORE__DEFAULT__TTL": "x",
                "CACHE_CORE__USE_CASES__A__RAMP": "x",
                "CACHE_CORE__USE_CASES": "{}",
                "CACHE_CORE__default__TTL": "5",
                "CACHE_CORE__DEFAULT__TTLL": "5",
            },
        )
    )
    assert set(found) == {
        "CACHE_CORE['ENABLED']",
        "CACHE_CORE__LOCAL_MAX_ENTRIES",
        "CACHE_CORE__NAMSPACE",
        "CACHE_CORE__DEFAULT__TTL",
        "CACHE_CORE__USE_CASES__A__RAMP",
        "CACHE_CORE__USE_CASES",
        "CACHE_CORE__default__TTL",
        "CACHE_CORE__DEFAULT__TTLL",
    }
    assert found["CACHE_CORE__NAMSPACE"].hint == "Did you mean 'NAMESPACE'?"


def test_a_secret_in_a_variable_is_not_shown():
    """Also not when it is refused."""
    make = lambda: Settings.from_mapping({}, environ={"CACHE_CORE__SECRETS": "hunter2"})  # noqa: E731
    assert "hunter2" not in str(problems_of(make)["CACHE_CORE__SECRETS"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6) | st.integers(), anything))
def test_any_mapping_is_read_or_refused(mapping):
    """Whatever is written there, the answer is settings or a list of problems."""
    try:
        settings = Settings.from_mapping(mapping)
    except ConfigurationError as error:
        paths = [problem.path for problem in error.problems]
    else:
        paths = []
        assert dataclasses.replace(settings) == settings
    assert all(path.startswith("CACHE_CORE") for path in paths)
