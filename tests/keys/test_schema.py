"""The shape of results: what changes it, what does not, and that it is the same everywhere."""

from __future__ import annotations

import enum
import functools
import subprocess
import sys
import typing
from collections import deque, namedtuple
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, ClassVar, NamedTuple, NewType, Optional, TypedDict, Union

import pytest

from cache_core.errors import DeclarationError
from cache_core.keys.schema import Schema, shape

ROOT = Path(__file__).resolve().parents[2]


def returning(annotation):
    """A function that is annotated to return *annotation*."""

    def function():
        raise NotImplementedError

    function.__annotations__ = {"return": annotation}
    return function


def of(annotation):
    return shape(returning(annotation))


def module(source, name="shop.models"):
    """The function ``get`` of a module, as it is after some deploy."""
    made = ModuleType(name)
    sys.modules[name] = made
    exec(compile(source, name, "exec"), vars(made))
    return made.get


@pytest.fixture(autouse=True)
def forget_modules():
    yield
    sys.modules.pop("shop.models", None)


def shape_of_source(source):
    return shape(module(source))


USER = """
{future}
from dataclasses import dataclass
import typing as t

def get() -> {annotation}: ...

@dataclass
class User:
    id: int
    name: {name}
    LIMIT: t.ClassVar[int] = 5
{more}
"""


def user(name="str", more="", annotation="'User'", future=""):
    return shape_of_source(USER.format(name=name, more=more, annotation=annotation, future=future))


FUTURE = "from __future__ import annotations"


def test_a_function_without_an_annotation_has_no_shape():
    """Nor one whose annotation says nothing; so its entries are called as they always were."""

    def get(user_id):
        raise NotImplementedError

    assert shape(get) == shape(len) == of(Any) == of("Any") == of(object) == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "bytes"},
        {"more": "    email: str = ''"},
        {"annotation": "'list[User]'"},
        {"annotation": "'User | None'"},
    ],
    ids=str,
)
def test_a_changed_class_or_annotation_has_another_shape(changes):
    """A field more, a field of another type, another container."""
    assert user(**changes) != user()


def test_a_class_deep_inside_counts():
    """Also behind containers, other classes, and in text that stands above the class."""
    source = """
from __future__ import annotations
from dataclasses import dataclass
def get() -> dict[str, list[Order]]: ...
@dataclass
class Order:
    lines: tuple[Line, ...]
    parent: Order | None
@dataclass
class Line:
    price: {price}
"""
    assert shape_of_source(source.format(price="int")) != shape_of_source(
        source.format(price="float")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"future": FUTURE},
        {"future": FUTURE, "annotation": "User"},
        {"annotation": "t.Annotated['User', 'for people']"},
        {"more": "    COLOURS: t.ClassVar[list[str]] = []"},
        {"more": "    def greeting(self) -> str: ..."},
    ],
    ids=str,
)
def test_what_no_value_shows_makes_no_difference(changes):
    """How an annotation is spelled, class variables, methods."""
    assert user(**changes) == user()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Optional[int], "int | None"),  # noqa: UP045
        (Union[int, str], "str | int"),
        (typing.List[int], list[int]),  # noqa: UP006
        (typing.Dict[str, "int"], "dict[str, int]"),  # noqa: UP006
        (list["int"], "list[int]"),
        (Annotated[int, "metres"], int),
        (None, "None"),
    ],
    ids=str,
)
def test_two_spellings_of_one_type_have_one_shape(one, other):
    """A rewrite of annotations in a newer style keeps the entries."""
    assert of(one) == of(other) != ""


UserId = NewType("UserId", int)
Row = namedtuple("Row", "id name")  # noqa: PYI024
T = typing.TypeVar("T")


class Typed(NamedTuple):
    id: int
    name: str


class Partly(TypedDict, total=False):
    id: int


class Wholly(TypedDict):
    id: int


class Colour(enum.Enum):
    RED = 1


class Page(typing.Generic[T]):
    items: list[T]


def test_many_types_have_shapes_of_their_own():
    """No two of these are taken for each other."""
    annotations = [
        int, str, UserId, Row, Typed, Partly, Wholly, Colour, None, Page[int], Page[str], Page,
        list[int], list[str], dict[str, int], tuple[int, ...], tuple[int, int], deque[int],
        typing.Literal["a"], typing.Literal["b"], typing.Literal[Colour.RED],
        typing.Callable[[int], str], typing.Callable[[str], int], list["Missing"], "Missing",  # noqa: F821
    ]  # fmt: skip
    shapes = [of(annotation) for annotation in annotations]
    assert len(set(shapes)) == len(annotations)
    assert "" not in shapes


ROW = """
from collections import namedtuple
from enum import Enum
from typing import NamedTuple, TypedDict
def get() -> 'Row': ...
{body}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Row = namedtuple('Row', 'id')", "Row = namedtuple('Row', 'id name')"),
        ("class Row(NamedTuple):\n id: int", "class Row(NamedTuple):\n id: str"),
        ("class Row(TypedDict):\n id: int", "class Row(TypedDict):\n id: 'str'"),
        ("class Row(TypedDict):\n id: int", "class Row(TypedDict, total=False):\n id: int"),
        ("class Row(Enum):\n A = 1", "class Row(Enum):\n A = 1\n B = 2"),
        ("class Row(Enum):\n A = 1", "class Row(Enum):\n A = 2"),
        ("class Row:\n id: int", "class Row:\n id: str"),
        ("class A:\n a: int\nclass Row(A):\n b: int", "class A:\n a: str\nclass Row(A):\n b: int"),
    ],
)
def test_a_change_of_any_kind_of_class_is_seen(before, after):
    """Tuples with names, typed dicts, enums, plain annotated classes, and what they inherit."""
    assert shape_of_source(ROW.format(body=before)) != shape_of_source(ROW.format(body=after))


def attributed(*names):
    """A class as attrs makes it from ``attr.ib()``, which needs no annotation."""
    attributes = [SimpleNamespace(name=name, type=int) for name in names]
    return type("User", (), {"__attrs_attrs__": attributes, "__module__": "shop"})


def django_model(*names):
    fields = [type("CharField", (), {"attname": name})() for name in names]
    meta = SimpleNamespace(concrete_fields=fields)
    return type("User", (), {"_meta": meta, "__module__": "shop"})


def sqlalchemy_model(*names):
    columns = [SimpleNamespace(key=name, type=name) for name in names]
    table = SimpleNamespace(columns=columns)
    return type("User", (), {"__table__": table, "__module__": "shop"})


@pytest.mark.parametrize("make", [attributed, django_model, sqlalchemy_model])
def test_the_fields_of_libraries_are_known_by_their_marks(make):
    """attrs, Django and SQLAlchemy tell their fields; nothing is imported for that."""
    assert of(make("id")) == of(make("id"))
    assert of(make("id")) != of(make("id", "name"))


def test_real_models_of_libraries_have_shapes():
    """Where the libraries are there, their own classes are looked at and not only stand-ins."""
    orm = pytest.importorskip("sqlalchemy.orm")
    sqlalchemy = pytest.importorskip("sqlalchemy")

    def model(**columns):
        base = orm.declarative_base()
        made = {name: sqlalchemy.Column(kind) for name, kind in columns.items()}
        key = sqlalchemy.Column(sqlalchemy.Integer, primary_key=True)
        body = {"__tablename__": "user", "__module__": "shop", "id": key, **made}
        return type("User", (base,), body)

    assert of(model(name=sqlalchemy.String)) == of(model(name=sqlalchemy.String))
    assert of(model(name=sqlalchemy.String)) != of(model(name=sqlalchemy.Integer))
    assert of(model()) != of(model(name=sqlalchemy.String))


class Hostile(type):
    @property
    def __annotations__(cls):
        raise RuntimeError("not for you")

    @property
    def _meta(cls):
        raise RuntimeError("not for you either")


class Guarded(metaclass=Hostile):
    pass


@pytest.mark.parametrize(
    "annotation",
    [
        "Missing",
        "list[Missing]",
        "not an annotation (",
        "1 / 0",
        list["Missing"],  # noqa: F821
        typing.ForwardRef("Missing"),
        Guarded,
        SimpleNamespace(id=1),
        5,
        ...,
        Union["Missing", None],  # noqa: F821
        functools.reduce(lambda inner, _: list[inner], range(100), int),
    ],
    ids=lambda annotation: str(annotation)[:30],
)
def test_no_annotation_is_too_bad(annotation):
    """What cannot be found counts by its text, what cannot be looked at by its name."""
    assert of(annotation) == of(annotation) != ""


def test_a_name_for_type_checkers_alone_counts_by_its_text():
    """However it is spaced; another text is another shape."""
    assert of("list[ Missing ]") == of("list[Missing]") != of("list[Other]")


def test_an_object_in_an_annotation_does_not_show_its_address():
    """Two processes have it at different places."""
    assert of(SimpleNamespace(id=object())) == of(SimpleNamespace(id=object()))


def test_classes_that_contain_each_other_come_to_an_end():
    """Trees, and chains that are longer than Python's stack."""
    namespace = {}
    for number in range(2000):
        namespace[f"C{number}"] = make_dataclass(f"C{number}", [("next", f"C{number + 1}")])
    for kind in namespace.values():
        kind.__module__ = "shop.models"
    made = ModuleType("shop.models")
    sys.modules["shop.models"] = made
    vars(made).update(namespace)
    assert of(namespace["C0"]) != ""


class Repository:
    def get(self, user_id: int) -> Typed: ...

    @functools.wraps(get)
    def wrapped(self, *args): ...

    def __call__(self) -> Typed: ...

    async def aget(self) -> Typed: ...


def test_the_function_that_was_written_down_counts():
    """Below wrappers, partials and objects; async or not."""
    repository = Repository()
    functions = [
        Repository.get,
        Repository.wrapped,
        functools.partial(Repository.get, repository),
        repository,
        Repository.aget,
    ]
    assert {shape(function) for function in functions} == {of(Typed)}


GOLDEN_SOURCE = """
from __future__ import annotations
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Literal, Optional, Sequence, TypedDict, Union
from uuid import UUID
class Size(Enum):
    S = "s"
    M = 2
class Tag(TypedDict, total=False):
    name: str
@dataclass(frozen=True)
class User:
    id: UUID
    born: datetime | None
    money: Decimal
    home: Path
    size: Size
    tags: Sequence[Tag]
    friends: dict[str, "User"]
    kind: Literal["a", 1, None]
    other: Union[int, Missing, None]
def get() -> Optional[list[User]]: ...
"""
GOLDEN = "d65fa2e5"


PROGRAM = """
import sys
from types import ModuleType
from cache_core.keys.schema import shape
module = sys.modules["shop.models"] = ModuleType("shop.models")
exec(sys.stdin.read(), vars(module))
print(shape(module.get))
"""


def test_the_shape_is_the_same_in_every_process_and_python():
    """Old and new Pythons run side by side during an upgrade; hashes of texts are random."""
    assert shape_of_source(GOLDEN_SOURCE) == GOLDEN
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            input=GOLDEN_SOURCE,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.strip() == GOLDEN


@dataclass
class Limited:
    id: int
    MOST: ClassVar[int] = 5


def test_a_schema_is_looked_up_at_its_first_use():
    """What the annotation names may stand below the function."""
    function = returning("Later")
    schema = Schema(function)
    function.__globals__["Later"] = Limited
    try:
        assert schema.tail == f"@{of(Limited)}"
    finally:
        del function.__globals__["Later"]


@pytest.mark.parametrize(("given", "tail"), [("v2", "@v2"), ("2 / b", "@2%20%2F%20b"), (None, "")])
def test_a_schema_of_ones_own_replaces_the_computed_one(given, tail):
    """Any text, which is escaped as the rest of a key is."""
    assert Schema(returning(int), given).tail == tail


@pytest.mark.parametrize("given", ["", "  ", 2, b"v2", True])
def test_what_is_no_text_is_no_schema(given):
    """The message says what to write."""
    with pytest.raises(DeclarationError, match="for example 'v2'"):
        Schema(returning(int), given)
