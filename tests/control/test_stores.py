"""The contract of override stores, for those of the core; Django's is tested beside Django."""

from __future__ import annotations

import json
import os
import threading

import pytest
import sqlalchemy as sa

from cache_core.control.file import FileOverrides
from cache_core.control.memory import MemoryOverrides
from cache_core.errors import OverridesUnavailable
from cache_core.layers.redis.options import RedisOptions
from cache_core.layers.redis.overrides import RedisOverrides
from cache_core.sqlalchemy.overrides import SQLOverrides
from cache_core.testing.contract.overrides import OverrideStoreContract, override, set_to
from tests.integration.row import PATIENT
from tests.postgres import PostgresServer, require_postgres


class TestMemory(OverrideStoreContract):
    @pytest.fixture
    def open_store(self):
        return MemoryOverrides


class TestFile(OverrideStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path):
        return lambda: FileOverrides(tmp_path / "overrides.json")

    def forge(self, name, text):
        content = json.loads(self.path.read_bytes())
        content["overrides"][name] = json.loads(text)
        self.path.write_text(json.dumps(content))

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
    def test_a_child_does_not_keep_the_lock_of_its_parent(self, open_store):
        """Forked in the middle of a write, it has the file open, and would stop all writers."""
        store = open_store()
        reads, writes = os.pipe()
        with store._alone():
            child = os.fork()
            if not child:
                os.close(writes)
                os.read(reads, 1)  # until the parent closes its end
                os._exit(0)
        done = threading.Event()
        edit = set_to("GetUser", override(5))
        threading.Thread(target=lambda: (store.write([edit]), done.set()), daemon=True).start()
        was_free = done.wait(5)
        os.close(reads)
        os.close(writes)
        os.waitpid(child, 0)
        assert was_free

    @pytest.mark.parametrize("content", ["", "{", "[1]", '{"overrides": []}', "\x00"])
    def test_a_broken_file_is_told_of_and_left_alone(self, open_store, content):
        """It may hold what somebody wants back: nothing is read from it or written over it."""
        store = open_store()
        store.path.write_text(content)
        with pytest.raises(OverridesUnavailable, match=r"file .* cannot be|does not hold"):
            store.load()
        with pytest.raises(OverridesUnavailable, match=r"file .* cannot be|does not hold"):
            store.write([set_to("A", override())])
        assert store.path.read_text() == content

    def test_a_folder_that_is_not_there_is_told_of(self, tmp_path):
        """The store makes no folders: the path is likely to be misspelt."""
        store = FileOverrides(tmp_path / "none" / "overrides.json")
        with pytest.raises(OverridesUnavailable, match="cannot be written"):
            store.write([set_to("A", override())])

    def test_nothing_is_left_lying_about(self, open_store):
        """Beside the file there is its lock, and nothing else."""
        store = open_store()
        store.write([set_to("A", override())])
        names = sorted(each.name for each in store.path.parent.iterdir())
        assert names == ["overrides.json", "overrides.json.lock"]


class TestRedis(OverrideStoreContract):
    @pytest.fixture
    def open_store(self, redis_server):
        redis_server.flush()
        made = []

        def make():
            options = RedisOptions.from_setting({"url": redis_server.url, **PATIENT}, "REDIS")
            made.append(RedisOverrides(options, namespace="app"))
            return made[-1]

        yield make
        for store in made:
            store.close()

    def forge(self, name, text):
        self._redis.ask([("HSET", self._keys[1], name, text), ("SET", self._keys[0], "forged")])

    @pytest.mark.parametrize("data", [b"\xff\xfe", b"", b"\x80\x04K\x01.", b"nan", b"[" * 5000])
    def test_wrong_bytes_are_passed_over(self, store, data):
        """Nothing of them is executed, the others hold."""
        store.write([set_to("B", override())])
        type(self).forge(store, "A", data)
        assert list(store.load().overrides) == ["B"]
        assert list(store.load().malformed) == ["A"]

    def test_a_name_that_is_no_utf_8_can_be_reset(self, store, redis_server):
        """Somebody has written it by hand; it is shown in a way that can be typed."""
        store.write([set_to("B", kept := override())])
        for name in (b"\xff", b"\xfe"):
            type(self).forge(store, name, override(7).dump())
        overrides = store.load().overrides
        assert sorted(overrides) == ["B", r"\xfe", r"\xff"]
        store.write([set_to(r"\xff", None, overrides[r"\xff"].revision)])
        store.write([set_to(r"\xfe", wanted := override(3), overrides[r"\xfe"].revision)])
        assert store.load().overrides == {"B": kept, r"\xfe": wanted}
        assert redis_server.command("HLEN", store._keys[1]) == "2"

    def test_a_key_of_another_type_is_told_of(self, store, redis_server):
        """As when somebody else uses the key."""
        redis_server.command("SET", store._keys[1], "x")
        with pytest.raises(OverridesUnavailable, match="WRONGTYPE"):
            store.load()

    def test_foreign_lines_of_history_are_passed_over(self, store):
        """The lines around them are told."""
        store.write([set_to("A", override())])
        store._redis.ask([("LPUSH", store._keys[2], b"\xff")])
        store.write([set_to("B", override())])
        assert [change.use_case for change in store.history()] == ["B", "A"]

    def test_what_is_carried_out_twice_is_no_conflict(self, store):
        """A connection may break off after Redis has read a write, which is then sent again."""
        edit = set_to("A", override())
        assert store._replace([edit], {})
        assert store._replace([edit], {})
        assert store.load().overrides["A"] == edit.override

    def test_a_server_that_is_away_is_told_of(self, private_redis):
        """In an error of the core, without a password."""
        server = private_redis(password="secret!!")
        options = RedisOptions.from_setting(server.url, "REDIS")
        server.kill()
        store = RedisOverrides(options, namespace="app")
        for use in (store.load, store.revision, store.history):
            with pytest.raises(OverridesUnavailable) as caught:
                use()
            assert "secret!!" not in str(caught.value)
        store.close()


@pytest.fixture(scope="module")
def postgres():
    """A PostgreSQL for the tests of this module."""
    require_postgres()
    with PostgresServer() as server:
        yield server


class SQLContract(OverrideStoreContract):
    @pytest.fixture
    def open_store(self, url):
        engines = []

        def make():
            engines.append(sa.create_engine(url))
            return SQLOverrides(engines[-1])

        store = make()
        store.table.metadata.drop_all(engines[0])
        store.table.metadata.create_all(engines[0])
        yield make
        for engine in engines:
            engine.dispose()

    def forge(self, name, text):
        with self._bind.begin() as connection:
            known = sa.update(self.table).where(self.table.c.use_case == name)
            connection.execute(known.values(record=text))

    def test_a_table_that_is_not_there_is_told_of(self, open_store):
        """With its name, and without the statement."""
        store = open_store()
        store.table.metadata.drop_all(store._bind)
        with pytest.raises(OverridesUnavailable, match="cache_core_overrides"):
            store.load()


class TestSQLite(SQLContract):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path / 'overrides.sqlite3'}"


class TestPostgres(SQLContract):
    @pytest.fixture
    def url(self, postgres):
        return postgres.url()
