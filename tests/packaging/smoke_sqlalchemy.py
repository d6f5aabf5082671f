"""SQLAlchemy: a commit invalidates the rows that it changed, a rollback leaves the cache alone."""

from __future__ import annotations

import sys

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from cache_core import Cache
from cache_core.sqlalchemy import track


class Base(DeclarativeBase):
    """The models."""


class City(Base):
    """A city."""

    __tablename__ = "city"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


engine = create_engine(f"sqlite:///{sys.prefix}/smoke.sqlite3", poolclass=NullPool)
Base.metadata.create_all(engine)
cache = Cache()
track(cache, City, key_type="city")


@cache.cached(key_type="city", id_arg="id", use_case="GetName", ttl=60)
def get_name(id: int) -> str:
    with Session(engine) as session:
        return session.get_one(City, id).name


def read() -> str:
    with cache.enable():
        return get_name(1)


with Session(engine) as session:
    session.add(City(id=1, name="Paris"))
    session.commit()
    assert read() == "Paris"
    session.get_one(City, 1).name = "Lutetia"
    session.flush()
    session.rollback()
    assert read() == "Paris"
    session.get_one(City, 1).name = "Lutetia"
    session.commit()
assert read() == "Lutetia"
assert cache.stats()["use_cases"]["GetName"]["loads"] == 2
print("ok")
