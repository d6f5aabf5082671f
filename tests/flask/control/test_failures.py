"""The page is needed most when something is away: it shows what it can, and says what it cannot."""

from __future__ import annotations

import pytest

from cache_core.control.memory import MemoryOverrides
from cache_core.errors import OverridesUnavailable, RemoteError
from cache_core.testing import FakeStore

LOOKING = (
    ("/", {}),
    ("/overview.json", {}),
    ("/use-case", {"name": "GetUser"}),
    ("/everything", {}),
    ("/invalidate", {}),
    ("/explain", {"name": "GetUser", "arguments": "7"}),
    ("/doctor", {}),
)
FORMS = (
    ("/use-case", {"name": "GetUser", "do": "save", "ramp_local": "5"}),
    ("/use-case", {"name": "GetUser", "do": "reset"}),
    ("/use-case", {"name": "GetUser", "do": "unplan"}),
    ("/several", {"action": "ramp_5", "use_case": "GetUser"}),
    ("/several", {"action": "ramp_5", "use_case": "GetUser", "confirmed": "yes"}),
    ("/everything", {"do": "off"}),
    ("/invalidate", {"key_type": "user_id", "ids": "7"}),
)


class Overrides(MemoryOverrides):
    """A store of overrides that can be away."""

    shared = True

    def __init__(self):
        super().__init__()
        self.error = None

    def _check(self):
        if self.error is not None:
            raise self.error

    def revision(self):
        self._check()
        return super().revision()

    def load(self):
        self._check()
        return super().load()

    def write(self, edits):
        self._check()
        super().write(edits)

    def history(self, use_case=None, **options):
        self._check()
        return super().history(use_case, **options)


@pytest.fixture
def overrides():
    return Overrides()


@pytest.fixture
def store(clock):
    return FakeStore(clock)


@pytest.fixture
def app(make_app, overrides, store):
    return make_app({"OVERRIDES": overrides, "REMOTE": store})


@pytest.fixture
def token(visitor):
    """What a form carries that was shown while all was well."""
    return visitor.hidden("/use-case", name="GetUser") | visitor.hidden()


@pytest.mark.parametrize(
    "error", [OverridesUnavailable("it is away"), ValueError("odd"), OSError()]
)
def test_overrides_cannot_be_read(visitor, overrides, control, error):
    """What was known last is shown, and that it may be old; whatever kind of error a store raises."""
    control.ramp("GetUser", 25, by="bob")
    overrides.error = error
    assert {visitor.get(path, **query).status_code for path, query in LOOKING} == {200}
    text = visitor.get().text
    assert "The store of overrides cannot be read" in text and "25 %" in text and "bob" in text
    assert "It cannot be read" in visitor.get("/use-case", name="GetUser").text


@pytest.mark.parametrize(("path", "fields"), FORMS[:3] + FORMS[4:6])
def test_overrides_cannot_be_written(visitor, overrides, token, control, path, fields):
    """Nothing was changed, and the page says so."""
    control.ramp("GetPage", 25)
    overrides.error = OverridesUnavailable("it is away")
    answer = visitor.post(path, {**token, **fields})
    assert answer.status_code == 503
    assert "Nothing was changed: it is away" in answer.text


def test_the_store_is_away(visitor, store, token):
    """Every page answers, the overview says that calls load for themselves."""
    store.down = True
    for _ in range(20):
        visitor.client.get("/user/7")
    assert {visitor.get(path, **query).status_code for path, query in LOOKING} == {200}
    assert "calls load for themselves" in visitor.get().text
    for path, fields in FORMS:
        assert visitor.post(path, {**token, **fields}).status_code < 500


def test_an_invalidation_that_the_store_does_not_take(visitor, store, token):
    """It is told, so that somebody repeats it."""
    store.down = True
    wanted = {"key_type": "user_id", "ids": "7", "confirmed": "yes"}
    answer = visitor.post("/invalidate", {**token, **wanted})
    assert answer.status_code == 503 and "did not acknowledge" in answer.text


def test_figures_of_others_cannot_be_read(visitor, store, monkeypatch):
    """Those of this process are shown, and that they are."""

    def fails(*_):
        raise RemoteError("no answer")

    monkeypatch.setattr(FakeStore, "report_members", fails, raising=False)
    assert visitor.get().status_code == 200


def test_redis_is_away(make_app, visit, private_redis):
    """A real one that dies under the page, with the overrides in it."""
    redis = private_redis()
    app = make_app({"REDIS": redis.url, "NAMESPACE": "control.away"})
    visitor = visit(app)
    visitor.submit("/use-case", "/use-case", {"name": "GetUser"}, name="GetUser", ramp_local="25")
    token = visitor.hidden()
    redis.stop()
    for path, query in LOOKING:
        answer = visitor.get(path, **query)
        assert answer.status_code == 200, path
    assert "cannot be read" in visitor.get().text and "25 %" in visitor.get().text
    for path, fields in FORMS:
        status = visitor.post(path, {**token, **fields}).status_code
        assert status in {200, 303, 409, 503}, (path, fields)
    app.extensions["cache_core"]["default"].close()


def test_passwords_stay_where_they_are(make_app, visit, private_redis):
    """That of Redis is on no page, whether it answers or not."""
    redis = private_redis(password="pssst")
    app = make_app({"REDIS": f"redis://:pssst@{redis.host}:{redis.port}/0"})
    visitor = visit(app)
    texts = [visitor.get(path, **query).text for path, query in LOOKING]
    redis.stop()
    texts += [visitor.get(path, **query).text for path, query in LOOKING]
    assert "pssst" not in "".join(texts)
    app.extensions["cache_core"]["default"].close()


ODD = ("a {x} %s%(a)s", "x" * 10_000, "\0", "ünïcode\u202e", "-5", "*", "=x")


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_input_is_no_failure(visitor, token, odd):
    """Whatever is typed or forged, the answer is a page that says what is wrong with it."""
    for path, name in (("/", "q"), ("/", "page"), ("/use-case", "name"), ("/explain", "name")):
        assert visitor.get(path, **{name: odd}).status_code < 500
    assert visitor.get("/explain", name="GetUser", arguments=odd).status_code < 500
    named = {"key_type": "user_id", "ids": "7", "confirmed": "yes"}
    for name in ("key_type", "ids", "tag", "use_case", "tenant", "buffer_ms"):
        answer = visitor.post("/invalidate", {**token, **named, name: odd})
        assert answer.status_code < 500, name
    for path, fields in FORMS:
        for name in fields:
            assert visitor.post(path, {**token, **fields, name: odd}).status_code < 500, name
    for name in ("expires", "why", "ttl_local", "revision", "enabled"):
        fields = {"name": "GetUser", "ramp_local": "3", name: odd}
        assert visitor.post("/use-case", {**token, **fields}).status_code < 500, name
    assert visitor.get().status_code == 200
