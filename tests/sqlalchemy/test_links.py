"""Rows that link two models, written beside objects of these models."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from cache_core.sqlalchemy import track


@pytest.fixture
def session(shop, sessions):
    """Orders 10 and 11, of which the second has the tag."""
    with sessions() as session:
        order = session.get(shop.Order, 11)
        order.tags.append(session.get(shop.Tag, 5))
        session.commit()
        yield session


def test_a_deleted_tag_beside_another_order(session, shop, log):
    """The order that loses its tag is told of although a flush knows another order only."""
    log.clear()
    order, tag = session.get(shop.Order, 10), session.get(shop.Tag, 5)
    with session.no_autoflush:
        order.title = "pencil"
        session.delete(tag)
    session.commit()
    assert {"{order:10}", "{order:11}"} <= set(log)


def test_a_deleted_tag_beside_another_order_by_other_ids(session, shop, log):
    """Where link rows do not have the ids of a rule, all of its entities are told of."""
    log.clear()
    order, tag = session.get(shop.Order, 10), session.get(shop.Tag, 5)
    with session.no_autoflush:
        order.title = "pencil"
        session.delete(tag)
    session.commit()
    assert "{customer:*}" in log


def test_a_link_names_its_rows(session, shop, cache, log):
    """The rows of a relation in a flush name both sides, and nobody else."""
    track(cache, shop.Tag, key_type="tag")
    log.clear()
    order = session.get(shop.Order, 10)
    order.tags.append(session.get(shop.Tag, 5))
    session.commit()
    assert set(log) == {"{customer:1}", "{order:10}", "{tag:5}"}


def test_a_listener_that_links_other_rows(session, shop, log):
    """What a listener writes of links by hand while a flush is under way is told of."""
    tagged = shop.Order.__mapper__.relationships["tags"].secondary
    log.clear()

    def unlink(_mapper, connection, _order):
        connection.execute(tagged.delete(), {})

    sa.event.listen(shop.Order, "after_update", unlink)
    try:
        order = session.get(shop.Order, 10)
        order.title = "pencil"
        session.commit()
    finally:
        sa.event.remove(shop.Order, "after_update", unlink)
    assert {"{order:11}", "{order:*}"} & set(log)


def test_a_listener_that_links_by_parameters(session, shop, log):
    """The form in which the ORM writes links may be somebody's own."""
    tagged = shop.Order.__mapper__.relationships["tags"].secondary
    log.clear()

    def link(_mapper, connection, _order):
        connection.execute(
            tagged.delete().where(tagged.c.order_id == sa.bindparam("order_id")), [{"order_id": 11}]
        )

    sa.event.listen(shop.Order, "after_update", link)
    try:
        order = session.get(shop.Order, 10)
        order.title = "pencil"
        session.commit()
    finally:
        sa.event.remove(shop.Order, "after_update", link)
    assert {"{order:11}", "{order:*}"} & set(log)


def test_a_relation_from_the_other_side_alone(sessions, shop, log):
    """Two relationships that do not know of each other: the one side's objects tell nothing."""
    tagged = shop.Order.__mapper__.relationships["tags"].secondary

    class Base(orm.DeclarativeBase):
        metadata = shop.Order.metadata

    class Label(Base):
        __table__ = shop.Tag.__table__
        orders = orm.relationship(shop.Order, secondary=tagged, overlaps="tags,orders")

    with sessions() as session:
        label, orders = session.get(Label, 5), [session.get(shop.Order, key) for key in (10, 11)]
        label.orders.append(orders[1])
        orders[0].title = "pencil"
        session.commit()
    assert {"{order:10}", "{order:11}"} <= set(log)
