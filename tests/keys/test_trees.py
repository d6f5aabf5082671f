"""Trees of tenants: declared once, checked, and told to each function in its own way."""

from __future__ import annotations

from contextvars import ContextVar

import pytest

from cache_core import Cache, DeclarationError, TenantMissing
from cache_core.keys.tenancy import Branch, Tenancy
from cache_core.values import Values

current = ContextVar("organization")
TENANTS = Tenancy(
    Branch("organization", current.get, Branch("user", None, Branch("session"))),
    Branch("project", "project_id", Branch("environment", "env")),
)


@pytest.fixture
def organization():
    """A request of an organization: ``organization(7)``."""
    tokens = []

    def begin(number):
        tokens.append(current.set(number))

    yield begin
    for token in reversed(tokens):
        current.reset(token)


def test_each_level_knows_its_path():
    """From the topmost level down; trees know nothing of each other."""
    assert TENANTS.levels == ("organization", "user", "session", "project", "environment")
    assert TENANTS.of("environment") == {"project": "project_id", "environment": "env"}
    assert [*TENANTS.of("session")] == ["organization", "user", "session"]
    assert TENANTS.of("session")["session"] == "session_id"


def test_a_function_may_have_an_id_elsewhere():
    """One level is told in another way, the others as the tree says."""
    assert TENANTS.of("environment", environment="where")["environment"] == "where"


def test_missing_ids_are_found_in_the_request_or_refused(organization):
    """A level with a callable asks it; one with a parameter has to be given."""
    organization(7)
    assert TENANTS.path("user", user=2) == {"organization": "7", "user": "2"}
    assert TENANTS.path("user", organization=8, user="2") == {"organization": "8", "user": "2"}
    with pytest.raises(DeclarationError, match="'user' is below 'user', whose id is missing"):
        TENANTS.path("user", organization=1)
    with pytest.raises(DeclarationError, match="'environment' is below 'project'"):
        TENANTS.path("environment", environment="test")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TENANTS.of("usr"), "no tenant level 'usr'. Did you mean 'user'"),
        (lambda: TENANTS.path("projects"), "no tenant level 'projects'"),
        (lambda: TENANTS.path("project", user=1), "'user' is no level on the path project"),
        (lambda: TENANTS.of("project", env="env"), "'env' is no level on the path"),
        (lambda: Tenancy(Branch("a", None, Branch("a"))), "Two tenant levels are called 'a'"),
        (lambda: Tenancy(Branch("a"), Branch("b", None, Branch("a"))), "Two tenant levels"),
    ],
)
def test_what_is_no_tree_or_no_level_is_refused(call, message):
    """With the name, and what was perhaps meant."""
    with pytest.raises(DeclarationError, match=message):
        call()


def test_an_id_that_cannot_be_found_is_told_by_its_level():
    """As outside of a request; what the callable raised is the cause."""
    who = ContextVar("nobody")
    with pytest.raises(TenantMissing, match=r"'user' \(.*get\): LookupError") as caught:
        Tenancy(Branch("user", who.get)).path("user")
    assert isinstance(caught.value.__cause__, LookupError)


def test_nobodys_id_is_refused(organization):
    """Nothing is shared by all who have no id."""
    organization(None)
    with pytest.raises(TenantMissing, match="nobody's"):
        TENANTS.path("user", user=2)


@pytest.mark.parametrize(
    "call",
    [
        lambda get: get("a", 2),
        lambda get: get("a", user_id=2),
        lambda get: get("a"),
    ],
    ids=["by position", "by name", "by default"],
)
def test_ids_come_from_any_kind_of_argument_and_from_the_request(organization, call):
    """Whatever the spelling: one entry for one tenant, and another one for another request."""
    cache, loads = Cache(), []

    @cache.cached(use_case="Get", ttl=60, tenant=TENANTS.of("user"))
    def get(name, user_id=2):
        loads.append(current.get())
        return current.get()

    for number in (1, 2, 1):
        organization(number)
        with cache.enable():
            assert get("a", 2) == call(get) == number
    assert loads == [1, 2]
    cache.invalidate_tenant(**TENANTS.path("organization"))
    with cache.enable():
        get("a", 2)
    assert loads == [1, 2, 1]


def test_values_take_their_levels_from_a_tree(organization):
    """The same tree serves values that are set by hand."""
    organization(7)
    values = Values(Cache(), "Settings", ttl=60, tenant=TENANTS.of("user"))
    values.set("theme", "dark", **TENANTS.path("user", user=2))
    assert values.get("theme", organization=7, user=2) == "dark"
    assert values.get("theme", organization=8, user=2) is None
