"""Signals and statements together: what signals announce is precise, and nothing else is missed."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models.signals import post_save, pre_save

from django_ext.statements import Watch
from django_ext.tracking import tracker
from tests.django.library.models import Author, Bookshop, Loan, Shop


class Veto(Exception):
    """A receiver does not want a row to be saved."""


@pytest.fixture
def receiving():
    """Connects a receiver for one test: ``receiving(signal, sender, function)``."""
    connected = []

    def connect(signal, sender, function):
        signal.connect(function, sender=sender, weak=False)
        connected.append((signal, sender, function))

    yield connect
    for signal, sender, function in connected:
        signal.disconnect(function, sender=sender)


@pytest.fixture(params=["autocommit", "atomic"])
def block(request):
    """Writes happen in autocommit or in a transaction."""
    if request.param == "autocommit":
        yield
        return
    with transaction.atomic():
        yield


def written(invalidated):
    """What was invalidated, in a transaction as if it were over."""
    for writes in tracker.statements.transactions._writes.values():
        writes.deliver()
    return invalidated.take()


def veto(**_):
    raise Veto


def test_a_save_that_was_vetoed_hides_nothing(block, invalidated, receiving):
    """A receiver stopped a save; the row is then updated by a queryset, which counts."""
    loan = Loan.objects.create(branch=1)
    receiving(pre_save, Loan, veto)
    with pytest.raises(Veto):
        loan.save()
    written(invalidated)
    Loan.objects.filter(pk=loan.pk).update(branch=2)
    assert written(invalidated) == {"reader_id:*", "branch_id:*"}


@pytest.mark.parametrize(("model", "field"), [(Author, "pk"), (Bookshop, "shelves")])
def test_a_save_with_a_wrong_value_hides_nothing(block, invalidated, model, field):
    """The save broke off before its statement; what is written after it counts."""
    row = model.objects.create()
    written(invalidated)
    setattr(row, field, "no number")
    with pytest.raises(ValueError, match="expected a number"), transaction.atomic():
        row.save()
    model.objects.update(name="b")
    assert any(name.endswith(":*") for name in written(invalidated))


def test_a_save_that_the_database_refused_hides_nothing(invalidated):
    """The statement itself failed."""
    author = Author.objects.create(name="a")
    written(invalidated)
    with pytest.raises(IntegrityError):
        Author(pk=author.pk, name=None).save(force_insert=True)
    Author.objects.update(name="b")
    assert written(invalidated) == {"author_id:*"}


@pytest.mark.parametrize("signal", [pre_save, post_save], ids=["pre_save", "post_save"])
def test_what_a_receiver_writes_is_a_write_of_its_own(block, invalidated, receiving, signal):
    """A receiver updates other rows of the table while one is being saved."""
    one, other = (Author.objects.create(name="a") for _ in range(2))
    written(invalidated)

    def rename(**_):
        Author.objects.filter(pk=other.pk).update(name="b")

    receiving(signal, Author, rename)
    one.save()
    assert f"author_id:{other.pk}" in written(invalidated)


@pytest.mark.parametrize("write", [Author.save, Author.delete], ids=["save", "delete"])
def test_a_row_is_invalidated_once(block, invalidated, write):
    """The statement and the signal after it tell of the same entity."""
    one = Author.objects.create(name="a")
    written(invalidated)
    thing = f"{{author_id:{one.pk}}}"
    write(one)
    for writes in tracker.statements.transactions._writes.values():
        writes.deliver()
    assert invalidated.things.count(thing) == 1


def stumble(**_):
    raise ValueError("stumbled")


def test_a_receiver_that_raises_before_ours_loses_nothing(block, invalidated, receiving):
    """The row is saved by then; its entity is invalidated all the same."""
    one = Author.objects.create(name="a")
    written(invalidated)
    receiving(post_save, Author, stumble)
    post_save.receivers.insert(0, post_save.receivers.pop())
    post_save.sender_receivers_cache.clear()
    with pytest.raises(ValueError, match="stumbled"):
        one.save()
    # When a transaction ends without the signal, every entity of the type goes as well.
    assert written(invalidated) & {f"author_id:{one.pk}", "author_id:*"}


def test_a_new_row_that_nobody_told_of_is_found_later(block, invalidated, receiving):
    """Its key is not known when the statement runs: everything of its type goes at the next look."""
    receiving(post_save, Author, stumble)
    post_save.receivers.insert(0, post_save.receivers.pop())
    post_save.sender_receivers_cache.clear()
    with pytest.raises(ValueError, match="stumbled"):
        Author.objects.create(name="a")
    tracker.statements.transactions.uncommitted()
    assert "author_id:*" in written(invalidated)


def test_a_save_inside_of_a_save_is_precise(block, invalidated, receiving):
    """A receiver saves another row of the same model; both are known."""
    one, other = (Author.objects.create(name="a") for _ in range(2))
    written(invalidated)

    def save_other(instance, **_):
        if instance.pk == one.pk:
            other.save()

    receiving(pre_save, Author, save_other)
    one.save()
    assert written(invalidated) == {f"author_id:{one.pk}", f"author_id:{other.pk}"}


def test_more_rows_than_were_announced_are_all_counted(block, invalidated):
    """Somebody sends the signals by hand, for one of the rows that are then written."""
    one, _ = (Author.objects.create(name="a") for _ in range(2))
    written(invalidated)
    told = {"sender": Author, "instance": one, "raw": False, "using": "default"}
    pre_save.send(**told, update_fields=None)
    Author.objects.update(name="b")
    post_save.send(**told, update_fields=None, created=False)
    assert "author_id:*" in written(invalidated)


def test_failed_saves_do_not_pile_up(receiving):
    """What they had announced is dropped with the next one."""
    receiving(pre_save, Author, veto)
    for _ in range(5):
        with pytest.raises(Veto):
            Author(name="a").save()
    assert len(tracker.statements.watch(connections["default"]).announced._by_call) <= 1


def watches():
    return [wrapper for wrapper in connection.execute_wrappers if isinstance(wrapper, Watch)]


def test_a_connection_is_watched_once():
    """Also after it was closed and opened again, which sends the signal again."""
    connection.close()
    connection.ensure_connection()
    assert len(watches()) == 1


def test_a_new_thread_has_a_watched_connection(elsewhere):
    """Each thread has connections of its own."""

    def count():
        connection.ensure_connection()
        return len(watches())

    assert elsewhere(count) == 1


def test_wrappers_of_others_come_and_go(invalidated):
    """execute_wrapper() takes away the last wrapper of the list; that is never ours."""
    calls = []

    def theirs(execute, sql, params, many, context):
        calls.append(sql)
        return execute(sql, params, many, context)

    connection.close()
    connection.execute_wrappers.clear()
    with connection.execute_wrapper(theirs):
        Author.objects.create(name="a")
    assert calls
    calls.clear()
    Author.objects.update(name="b")
    assert not calls
    assert "author_id:*" in invalidated.take()


def test_a_watch_that_somebody_took_away_comes_back(invalidated):
    """The next announced write puts it there again."""
    connection.execute_wrappers.clear()
    Shop.objects.create(city="Bath")
    assert len(watches()) == 1


def test_a_lost_connection_may_have_committed(invalidated, monkeypatch):
    """The error came instead of an answer; what the statement may have written is invalidated."""

    def lost(self, sql, params, *_):
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patched:
        patched.setattr(CursorWrapper, "_execute", lost)
        with pytest.raises(OperationalError):
            Author.objects.update(name="b")
    assert invalidated.take() == {"author_id:*"}


def test_text_that_cannot_be_read_may_write_anything(invalidated):
    """What the driver takes and we cannot read counts as a write of everything tracked."""

    class Strange:
        def as_string(self, _):
            raise TypeError

    (watch,), raw = watches(), connections["default"]

    class Cursor:
        cursor = None
        rowcount = -1

    watch(lambda *_: None, Strange(), None, False, {"connection": raw, "cursor": Cursor()})
    assert {"author_id:*", "place_id:*"} <= invalidated.take()
