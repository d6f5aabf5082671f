from __future__ import annotations

import functools
import threading

import pytest

from cache_core.errors import DeclarationError, UseCaseExists
from cache_core.keys.usecase import Registry, UseCase


def get(user_id):
    """The user, as a dict.

    More about it.
    """


class A:
    def get(self):
        pass

    @classmethod
    def make(cls):
        pass


class B:
    def get(self):
        pass


def made(text="a"):
    def get():
        return text

    return get


def test_the_default_name_is_module_and_qualified_name():
    """Without a name, a use case is called as its function is."""
    assert UseCase.of(A.get).name == f"{__name__}.A.get"


def test_a_use_case_knows_its_function():
    """Place, line and the first line of the docstring are kept for people."""
    use_case = UseCase.of(get, name="GetUser", key_type="user_id")
    assert (use_case.module, use_case.qualname) == (__name__, "get")
    assert use_case.first_line == get.__code__.co_firstlineno
    assert use_case.note == "The user, as a dict."
    assert use_case.tracked


def test_a_use_case_has_a_version_of_its_own():
    """Its thing is the tail of its version key."""
    assert UseCase.of(get, name="Get User").thing == "{uc:Get%20User}"


@pytest.mark.parametrize("name", ["", "  ", 7, b"GetUser"])
def test_a_name_is_a_text(name):
    """An empty name, or one that is no text, is refused."""
    with pytest.raises(DeclarationError, match="give a name"):
        UseCase.of(get, name=name)


def test_the_name_of_all_use_cases_is_reserved():
    """The star stands for all use cases in overrides."""
    with pytest.raises(DeclarationError, match="reserved"):
        UseCase.of(get, name="*")


@pytest.mark.parametrize("key_type", ["uc", "t", ""])
def test_a_reserved_key_type_is_refused(key_type):
    """The library's own key types, and none at all, cannot be declared."""
    with pytest.raises(DeclarationError, match="key_type"):
        UseCase.of(get, key_type=key_type)


def test_an_object_without_a_name_needs_one():
    """A partial has no name of its own, so it must be given one."""
    with pytest.raises(DeclarationError, match=r"partial.*use_case="):
        UseCase.of(functools.partial(get, 1))
    assert UseCase.of(functools.partial(get, 1), name="GetFirst").name == "GetFirst"


def test_use_cases_are_found_and_listed_in_order():
    """A registry gives back what was added, in the order of declaration."""
    registry = Registry()
    one, two = UseCase.of(get, name="One"), UseCase.of(A.get, name="Two")
    registry.add(one)
    registry.add(two)
    assert list(registry) == [one, two]
    assert registry.get("Two") is two
    assert len(registry) == 2


def test_an_unknown_use_case_is_answered_with_the_closest():
    """A misspelt name is refused with a suggestion."""
    registry = Registry()
    registry.add(UseCase.of(get, name="GetUser"))
    with pytest.raises(DeclarationError, match=r"'GetUsr'.*Did you mean 'GetUser'\?"):
        registry.get("GetUsr")


def test_methods_of_two_classes_have_two_names():
    """D17, H2, C4: equal method names in one module neither clash nor share entries."""
    registry = Registry()
    registry.add(UseCase.of(A.get))
    registry.add(UseCase.of(B.get))
    assert len(registry) == 2


def test_two_functions_cannot_have_one_name():
    """A name that is taken is refused, with both places and the cure."""
    registry = Registry()
    registry.add(UseCase.of(A.get, name="Get"))
    with pytest.raises(UseCaseExists) as caught:
        registry.add(UseCase.of(B.get, name="Get"))
    text = str(caught.value)
    assert f"{__name__}.A.get, line {A.get.__code__.co_firstlineno}" in text
    assert f"{__name__}.B.get, line {B.get.__code__.co_firstlineno}" in text
    assert "use_case='...'" in text


def test_a_reloaded_module_replaces_its_use_cases():
    """The same function, loaded anew, is not a second one."""
    registry = Registry()
    registry.add(UseCase.of(get))
    again = UseCase.of(get, key_type="user_id")
    registry.add(again)
    assert list(registry) == [again]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (made("a"), made("b")),
        (lambda: 1, lambda: 2),
        (functools.partial(get, 1), functools.partial(get, 2)),
    ],
)
def test_functions_that_look_alike_need_names(one, other):
    """H2: closures of one factory, lambdas and partials would share entries under one name."""
    registry = Registry()
    registry.add(UseCase.of(one, name="Get"))
    with pytest.raises(UseCaseExists, match=r"a name of its own: use_case='...'"):
        registry.add(UseCase.of(other, name="Get"))


def test_functions_that_look_alike_live_under_names_of_their_own():
    """With names of their own, closures of one factory are two use cases."""
    registry = Registry()
    registry.add(UseCase.of(made("a"), name="GetA"))
    registry.add(UseCase.of(made("b"), name="GetB"))
    assert len(registry) == 2


def test_a_refused_use_case_leaves_the_old_one():
    """After a clash the registry is as it was before."""
    registry = Registry()
    old = UseCase.of(A.get, name="Get")
    registry.add(old)
    with pytest.raises(UseCaseExists):
        registry.add(UseCase.of(B.get, name="Get"))
    assert list(registry) == [old]


def test_threads_may_declare_and_list_at_once():
    """Modules imported by several threads lose no use case."""
    registry = Registry()
    start = threading.Barrier(4)

    def declare(thread):
        start.wait()
        for number in range(200):
            registry.add(UseCase.of(get, name=f"{thread}-{number}"))
            list(registry)

    threads = [threading.Thread(target=declare, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({use_case.name for use_case in registry}) == 800
