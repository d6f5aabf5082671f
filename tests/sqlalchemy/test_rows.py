"""Which entities a write invalidates, for each way to write."""

from __future__ import annotations

import logging

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.pool import NullPool

from cache_core import DeclarationError
from cache_core.sqlalchemy import track

CUSTOMERS = "{customer:*}"
"""What is invalidated where no customer is known: all of them."""


@pytest.fixture
def session(shop, sessions):
    with sessions() as session:
        yield session


def test_a_new_row(session, shop, log):
    """A row that was added invalidates its entity by the key that the database gave it."""
    session.add(shop.Customer(name="Linus"))
    session.commit()
    assert log == ["{customer:3}"]


def test_a_changed_row(session, shop, log):
    """A changed attribute invalidates the row's entity."""
    session.get(shop.Customer, 1).name = "Ada L."
    session.commit()
    assert log == ["{customer:1}"]


def test_a_deleted_row(session, shop, log):
    """A deleted row invalidates its entity."""
    session.delete(session.get(shop.Customer, 2))
    session.commit()
    assert log == ["{customer:2}"]


def test_a_merged_row(session, shop, log):
    """merge() is a change like any other."""
    session.merge(shop.Customer(id=2, name="Grace H."))
    session.commit()
    assert log == ["{customer:2}"]


def test_several_changes_are_one_invalidation(session, shop, cache):
    """Everything that a transaction changed is invalidated together, in one round trip."""
    session.get(shop.Customer, 1).name = "x"
    session.get(shop.Customer, 2).name = "y"
    session.flush()
    session.get(shop.Order, 10).title = "z"
    session.commit()
    assert cache.stats()["invalidations"] == 3


def test_a_change_reaches_the_owner(session, shop, log):
    """An order that changes is also a change of its customer."""
    session.get(shop.Order, 10).title = "pencil"
    session.commit()
    assert log == ["{customer:1}", "{order:10}"]


def test_a_row_that_moves_reaches_both_owners(session, shop, log):
    """The owner that it leaves is invalidated too."""
    session.get(shop.Order, 10).customer_id = 2
    session.commit()
    assert log == ["{customer:1}", "{customer:2}", "{order:10}"]


def test_a_row_that_moves_without_having_been_read(session, shop, log):
    """Also where the old owner was not loaded when the new one was set."""
    order = session.get(shop.Order, 10)
    session.commit()
    assert "customer_id" not in sa.inspect(order).dict
    order.customer_id = 2
    session.commit()
    assert log == ["{customer:1}", "{customer:2}", "{order:10}"]


def test_a_row_that_moves_by_its_relationship(session, shop, log):
    """Setting the relationship sets the foreign key during the flush; both owners are found."""
    session.get(shop.Order, 10).customer = session.get(shop.Customer, 2)
    session.commit()
    assert {"{customer:1}", "{customer:2}", "{order:10}"} <= set(log)


def test_a_row_that_moves_by_the_other_side(session, shop, log):
    """Also where it is appended to the collection of its new owner."""
    customer = session.get(shop.Customer, 2)
    customer.orders.append(session.get(shop.Order, 10))
    session.commit()
    assert {"{customer:1}", "{customer:2}", "{order:10}"} <= set(log)


def test_a_row_that_loses_its_owner(session, shop, log):
    """An owner of None is nobody; the one before is invalidated."""
    session.get(shop.Order, 10).customer_id = None
    session.commit()
    assert log == ["{customer:1}", "{order:10}"]


def test_a_row_that_is_deleted_unread(session, shop, log):
    """A deleted row whose attributes had expired still reaches its owner."""
    order = session.get(shop.Order, 10)
    session.commit()
    session.delete(order)
    session.commit()
    assert log == ["{customer:1}", "{order:10}"]


def test_a_row_that_is_deleted_with_a_deferred_owner(session, shop, log):
    """What was never loaded is asked for before the row is gone."""
    deferred = orm.defer(shop.Order.customer_id)
    order = session.scalar(sa.select(shop.Order).filter_by(id=10).options(deferred))
    session.delete(order)
    session.commit()
    assert log == ["{customer:1}", "{order:10}"]


def test_rows_that_the_orm_deletes_along(session, shop, log):
    """Orders deleted with their customer are invalidated one by one."""
    session.delete(session.get(shop.Customer, 1))
    session.commit()
    assert log == ["{customer:1}", "{order:10}", "{order:11}"]


def test_a_changed_primary_key(session, shop, log):
    """Both the old and the new key are invalidated."""
    session.get(shop.Customer, 2).id = 3
    session.commit()
    assert log == ["{customer:2}", "{customer:3}"]


def test_many_to_many(session, shop, log):
    """A change of a many-to-many collection is a change of both sides."""
    order = session.get(shop.Order, 10)
    order.tags.append(session.get(shop.Tag, 5))
    session.commit()
    assert "{order:10}" in log


LINK = {"order_id": 11, "tag_id": 5}


@pytest.mark.parametrize(
    "write",
    [
        lambda tagged: tagged.delete().where(tagged.c.order_id == 11),
        lambda tagged: sa.text(f"DELETE FROM {tagged.name} WHERE order_id = 11"),
    ],
    ids=["delete", "text"],
)
def test_a_statement_about_links(session, shop, cache, log, write):
    """Rows that link two models by hand are part of both; a side that is not named is any."""
    track(cache, shop.Tag, key_type="tag")
    session.execute(write(shop.Order.__mapper__.relationships["tags"].secondary))
    session.commit()
    assert "{tag:*}" in log


def test_a_statement_that_links(session, shop, cache, log):
    """A new link names the rows of both sides, where their keys are the ids."""
    track(cache, shop.Tag, key_type="tag")
    session.execute(shop.Order.__mapper__.relationships["tags"].secondary.insert().values(LINK))
    session.commit()
    assert log == ["{customer:*}", "{order:11}", "{tag:5}"]


def test_a_subclass_is_a_row_of_its_base(session, shop, log):
    """What is tracked for a model holds for the models that inherit from it."""
    session.add(shop.Company(id=9, name="Acme", vat="1"))
    session.commit()
    session.get(shop.Company, 9).vat = "2"
    session.commit()
    assert log == ["{customer:9}", "{customer:9}"]


def test_an_untracked_model_invalidates_nothing(session, shop, log):
    """Only tracked models have entities."""
    session.add(shop.Line(order_id=10, number=1))
    session.commit()
    assert log == []


def test_a_read_only_transaction_invalidates_nothing(session, shop, log):
    """A commit without writes is none of our business."""
    session.get(shop.Customer, 1)
    session.commit()
    assert log == []


# Statements for many rows.


@pytest.mark.parametrize(
    "write",
    [
        lambda s, m: s.execute(sa.update(m.Customer).values(name="x")),
        lambda s, m: s.execute(
            sa.update(m.Customer).values(name="x"),
            execution_options={"synchronize_session": False},
        ),
        lambda s, m: s.execute(sa.update(m.Customer).values(name="x").returning(m.Customer.id)),
        lambda s, m: s.execute(sa.delete(m.Order)),
        lambda s, m: s.query(m.Customer).update({"name": "x"}),
        lambda s, m: s.execute(sa.insert(m.Customer).values(name="x")),
        lambda s, m: s.execute(sa.update(m.Customer).where(m.Customer.id < 2).values(name="x")),
        lambda s, m: s.execute(sa.update(m.Customer).where(~(m.Customer.id == 2)).values(name="x")),
        lambda s, m: s.execute(
            sa.update(m.Customer)
            .where((m.Customer.id == 1) | (m.Customer.name == "Grace"))
            .values(name="x")
        ),
        lambda s, m: s.execute(sa.update(m.Customer.__table__).values(name="x")),
        lambda s, m: s.execute(sa.insert(m.Customer), [{"name": "x"}]),
        lambda s, m: s.connection().execute(
            sa.insert(m.Customer.__table__), [{"id": None, "name": "x", "kind": "customer"}]
        ),
    ],
    ids=[
        "update",
        "update, session not synchronised",
        "update returning",
        "delete",
        "query.update",
        "insert values",
        "update where less",
        "update where not",
        "update where or",
        "core update",
        "insert without keys",
        "insert with an empty key",
    ],
)
def test_a_statement_that_names_no_rows(session, shop, log, write):
    """Every entity of the key type is invalidated, since any row may have changed."""
    write(session, shop)
    session.commit()
    assert CUSTOMERS in log


@pytest.mark.parametrize(
    "write",
    [
        lambda s, m: s.execute(
            sqlite_insert(m.Customer).on_conflict_do_nothing(), [{"id": 1, "name": "x"}]
        ),
        lambda s, m: s.execute(sa.insert(m.Customer).prefix_with("OR IGNORE"), [{"id": 1}]),
    ],
    ids=["on conflict", "or ignore"],
)
def test_an_upsert(session, shop, log, write):
    """An insert that meets a row may change another one than it names."""
    write(session, shop)
    session.commit()
    assert log == [CUSTOMERS]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (
            lambda s, m: s.execute(
                sa.update(m.Customer).where(m.Customer.id == 1).values(name="x")
            ),
            ["{customer:1}"],
        ),
        (
            lambda s, m: s.execute(
                sa.update(m.Customer)
                .where(m.Customer.id.in_([1, 2]), m.Customer.name != "")
                .values(name="x")
            ),
            ["{customer:1}", "{customer:2}"],
        ),
        (
            lambda s, m: s.query(m.Customer).filter_by(id=2).delete(),
            ["{customer:2}"],
        ),
        (
            lambda s, m: s.execute(
                sa.update(m.Order.__table__)
                .where(m.Order.__table__.c.customer_id == 1)
                .values(title="x")
            ),
            ["{customer:1}", "{order:*}"],
        ),
        (
            lambda s, m: s.execute(
                sa.update(m.Order).where(m.Order.customer_id == 1).values(customer_id=2)
            ),
            ["{customer:1}", "{customer:2}", "{order:*}"],
        ),
        (
            lambda s, m: s.execute(
                sa.update(m.Order)
                .where(m.Order.id == 10)
                .values(customer_id=m.Order.customer_id + 1)
            ),
            [CUSTOMERS, "{order:10}"],
        ),
        (
            lambda s, m: s.execute(
                sa.update(m.Customer.__table__).where(
                    m.Customer.__table__.c.id == sa.bindparam("i")
                ),
                [{"i": 1, "name": "x"}, {"i": 2, "name": "y"}],
            ),
            ["{customer:1}", "{customer:2}"],
        ),
        (
            lambda s, m: s.execute(sa.insert(m.Customer.__table__).values(id=5, name="x")),
            ["{customer:5}"],
        ),
        (lambda s, m: s.bulk_save_objects([m.Customer(id=5)]), ["{customer:5}"]),
        (
            lambda s, m: s.bulk_insert_mappings(m.Order, [{"id": 12, "customer_id": 2}]),
            ["{customer:2}", "{order:12}"],
        ),
        (
            lambda s, m: s.bulk_update_mappings(m.Customer, [{"id": 1, "name": "x"}]),
            ["{customer:1}"],
        ),
        (
            lambda s, m: s.connection().execute(sa.delete(m.Customer).where(m.Customer.id == 2)),
            ["{customer:2}"],
        ),
        (
            lambda s, m: s.execute(sa.insert(m.Customer), [{"id": 3}, {"id": 4}]),
            ["{customer:3}", "{customer:4}"],
        ),
        (
            lambda s, m: s.execute(sa.update(m.Customer), [{"id": 2, "name": "x"}]),
            ["{customer:2}"],
        ),
        (
            lambda s, m: s.execute(sa.insert(m.Order), [{"id": 12, "customer_id": 2}]),
            ["{customer:2}", "{order:12}"],
        ),
    ],
    ids=[
        "where",
        "where in, and more",
        "query.delete",
        "where owner",
        "where owner, moved",
        "moved by an expression",
        "core, many",
        "core insert values",
        "bulk_save_objects",
        "bulk_insert_mappings",
        "bulk_update_mappings",
        "connection of the session",
        "insert",
        "update",
        "insert with owner",
    ],
)
def test_a_statement_whose_parameters_name_the_rows(session, shop, log, write, expected):
    """Parameters that hold the ids make the invalidation exact."""
    write(session, shop)
    session.commit()
    assert log == expected


def test_an_update_by_key_does_not_know_the_former_owner(session, shop, log):
    """The row is exact, its owner is not: it may have been taken from anybody."""
    session.execute(sa.update(shop.Order), [{"id": 10, "customer_id": 2}])
    session.commit()
    assert log == [CUSTOMERS, "{order:10}"]


def test_a_statement_about_a_subclass_or_its_base(session, shop, log):
    """Either table of a joined model may hold what was cached."""
    session.execute(sa.update(shop.Company.__table__).values(vat="x"))
    session.commit()
    assert log == [CUSTOMERS]


def test_use_cases_of_another_key_type_are_left_alone(session, shop, cache, log):
    """A statement about orders does not invalidate a use case that is about something else."""

    @cache.cached(key_type="tag", id_arg="id", use_case="GetTag")
    def get_tag(id):
        return id

    session.execute(sa.update(shop.Customer).values(name="x"))
    session.commit()
    assert log == [CUSTOMERS]


def test_untracked_use_cases_are_left_alone(session, shop, cache, log):
    """track_for_invalidation=False means that changes of the entity do not matter."""

    @cache.cached(key_type="customer", id_arg="id", use_case="X", track_for_invalidation=False)
    def get_x(id):
        return id

    session.execute(sa.update(shop.Customer).values(name="x"))
    session.commit()
    assert log == [CUSTOMERS]


@pytest.mark.parametrize("text", ["SELECT 1", "  select name FROM customers"])
def test_a_select_as_text_is_no_write(session, shop, cache, text):
    """Reading by text leaves caching on."""
    session.execute(sa.text(text))
    assert not cache.runtime.uncommitted()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("UPDATE customers SET name = 'x'", [CUSTOMERS]),
        ('/* who */ update "customers" set name = 1', [CUSTOMERS]),
        ("DELETE FROM orders", [CUSTOMERS, "{order:*}"]),
        ("INSERT INTO tags VALUES (6)", []),
    ],
)
def test_a_write_as_text(session, shop, cache, log, text, expected):
    """The table that a text names is known, its rows are not."""
    session.execute(sa.text(text))
    assert cache.runtime.uncommitted()
    session.commit()
    assert log == expected
    assert not cache.runtime.uncommitted()


# Ids.


def test_an_id_may_be_an_attribute_or_a_callable(cache, shop, sessions, log):
    """A callable returns one id, several, or None for nobody."""
    track(cache, shop.Tag, key_type="tag", id=shop.Tag.id)
    track(
        cache,
        shop.Line,
        key_type="line",
        id=lambda x: f"{x.order_id}-{x.number}",
    )
    track(cache, shop.Line, key_type="order", id=lambda x: [x.order_id, 0])
    track(cache, shop.Line, key_type="never", id=lambda x: None)
    with sessions() as session:
        session.add_all([shop.Tag(id=6), shop.Line(order_id=10, number=1)])
        session.commit()
    assert log == ["{line:10-1}", "{order:0}", "{order:10}", "{tag:6}"]


def test_a_callable_that_fails_loses_nothing(cache, shop, sessions, log, caplog):
    """The user's transaction goes on, and every entity of that key type is invalidated."""
    track(cache, shop.Tag, key_type="customer", id=lambda tag: 1 / 0)
    with sessions() as session, caplog.at_level(logging.ERROR, "cache_core"):
        session.add(shop.Tag(id=6))
        session.commit()
    assert log == [CUSTOMERS]
    assert "could not be told" in caplog.text


def test_a_composite_key_needs_a_choice(cache, shop, sessions):
    """Two columns are no id; the error names them and says what to do."""
    with pytest.raises(DeclarationError, match=r"2 columns \(order_id, number\).*callable"):
        track(cache, shop.Line, key_type="line")


def test_an_unknown_attribute_is_refused(cache, shop, sessions):
    """A slip in id= is found at once, with a suggestion."""
    with pytest.raises(DeclarationError, match="Did you mean 'customer_id'"):
        track(cache, shop.Order, key_type="customer", id="custmer_id")


def test_a_relationship_is_no_id(cache, shop, sessions):
    """Only columns hold ids."""
    with pytest.raises(DeclarationError, match="no column attribute 'customer'"):
        track(cache, shop.Order, key_type="customer", id=shop.Order.customer)


def test_only_mapped_classes_are_tracked(cache, sessions):
    """Something that has no table is refused."""
    with pytest.raises(DeclarationError, match="needs a mapped class"):
        track(cache, dict, key_type="customer")


def test_a_reserved_key_type_is_refused(cache, shop, sessions):
    """A key type that could never be declared is found at once."""
    with pytest.raises(DeclarationError, match="reserved"):
        track(cache, shop.Order, key_type="uc")


def test_tracking_does_not_configure_mappers(cache, sessions):
    """Models may be tracked where they are defined, before those that they refer to exist."""

    class Base(orm.DeclarativeBase):
        pass

    class Early(Base):
        __tablename__ = "early"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
        late_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("late.id"))
        late = orm.relationship("Late")

    track(cache, Early, key_type="early")
    track(cache, Early, key_type="late", id="late_id")

    class Late(Base):
        __tablename__ = "late"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)

    orm.configure_mappers()
    assert sa.inspect(Early).relationships["late"].mapper.class_ is Late


def test_tracking_twice_is_harmless(cache, shop, sessions, log):
    """The same rule again, as when a module is imported twice, changes nothing."""
    track(cache, shop.Order, key_type="customer", id="customer_id")
    with sessions() as session:
        session.get(shop.Order, 10).title = "x"
        session.commit()
    assert log == ["{customer:1}", "{order:10}"]


def test_the_same_value_is_no_change(session, shop, log):
    """An attribute set to what it was writes nothing, and invalidates nothing."""
    session.get(shop.Customer, 1).name = "Ada"
    session.commit()
    assert log == []


def test_a_statement_inside_of_a_flush(session, shop, log):
    """What a listener of the mapper writes by itself is told like any other statement."""

    def follow(mapper, connection, target):
        connection.execute(sa.update(shop.Customer).where(shop.Customer.id == 2).values(name="y"))

    sa.event.listen(shop.Customer, "after_update", follow)
    try:
        session.get(shop.Customer, 1).name = "x"
        session.commit()
    finally:
        sa.event.remove(shop.Customer, "after_update", follow)
    assert log == ["{customer:1}", "{customer:2}"]


def test_an_orphan_that_is_in_no_list(session, shop, log):
    """A child that the flush deletes by itself is told by its row."""
    customer = session.get(shop.Customer, 1)
    customer.orders.remove(customer.orders[1])
    session.commit()
    assert log == ["{customer:1}", "{order:11}"]


def test_a_bulk_method_after_a_flush(session, shop, log):
    """The bulk methods tell by their statements, before and after a flush of the same table."""
    session.bulk_update_mappings(shop.Customer, [{"id": 1, "name": "x"}])
    session.add(shop.Customer(id=7))
    session.flush()
    session.bulk_save_objects([shop.Customer(name="without a key")])
    session.commit()
    assert CUSTOMERS in log
    assert "{customer:1}" not in log  # it is among all of them


def test_too_many_ids(session, shop, log):
    """Beyond a thousand, naming each costs more than it saves."""
    session.execute(sa.insert(shop.Customer), [{"id": number} for number in range(100, 1200)])
    session.commit()
    assert log == [CUSTOMERS]


def test_a_driver_that_begins_no_transaction(engine, shop, log):
    """SQLAlchemy thinks that one is open; what the driver has committed is told at once."""
    plain = sa.create_engine(engine.url, poolclass=NullPool)
    sa.event.listen(plain, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    with plain.connect() as connection:
        connection.execute(sa.update(shop.Customer).where(shop.Customer.id == 1).values(name="x"))
        assert log == ["{customer:1}"]


class Lenient(orm.DeclarativeBase):
    pass


class Word(Lenient):
    __tablename__ = "words"
    text: orm.Mapped[str] = orm.mapped_column(sa.String(collation="NOCASE"), primary_key=True)
    exact: orm.Mapped[str] = orm.mapped_column(default="")


class Lower(sa.TypeDecorator):
    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return value.lower()


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Lower(), "ABC"), (sa.Integer(), "007"), (sa.String(3), "abc "), (sa.CHAR(3), "a")],
    ids=["by a decorator", "another type", "cut off", "filled up"],
)
def test_a_new_value_that_is_stored_otherwise(cache, engine, log, kind, value):
    """What SQLAlchemy or the database makes of a new id is not what the statement was given."""
    table = sa.Table("stored", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
    table.append_column(sa.Column("code", kind))

    class Stored(orm.registry(metadata=table.metadata).generate_base()):
        __table__ = table

    table.create(engine)
    track(cache, Stored, key_type="code", id="code")
    with engine.begin() as connection:
        connection.execute(table.insert(), [{"id": 1, "code": value}])
    assert log == ["{code:*}"]


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        (Word.text == "a", ["{exact:*}", "{word:*}"]),
        (Word.exact == "a", ["{exact:a}", "{word:*}"]),
        (Word.exact == sa.literal(7), ["{exact:*}", "{word:*}"]),
    ],
    ids=["no case", "letter by letter", "another type"],
)
def test_a_criterion_that_finds_what_is_spelled_otherwise(cache, engine, log, criterion, expected):
    """Where "a" finds "A", the value in the criterion does not name the row."""
    Lenient.metadata.create_all(engine)
    track(cache, Word, key_type="word")
    track(cache, Word, key_type="exact", id="exact")
    with engine.begin() as connection:
        connection.execute(sa.delete(Word).where(criterion))
    assert log == expected
