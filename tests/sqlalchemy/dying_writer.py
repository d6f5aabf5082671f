"""A process that commits a write and is killed before it can invalidate."""

from __future__ import annotations

import os
import signal
import sys

from sqlalchemy import orm

from cache_core import Cache
from cache_core.sqlalchemy import Outbox, track
from cache_core.writing import Writing
from tests.sqlalchemy.conftest import Base, Customer, make_engine


def main(path, redis):
    cache = Cache(redis=redis, namespace="dying")
    Outbox(cache, Base.metadata, delay=0)
    track(cache, Customer, key_type="customer")
    engine = make_engine(path)
    Base.metadata.create_all(engine)
    Writing.committed = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    with orm.Session(engine) as session:
        session.get(Customer, 1).name = "new"
        session.commit()


if __name__ == "__main__":
    main(*sys.argv[1:])
