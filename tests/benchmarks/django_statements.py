"""What tracking costs in Django: ``python -m tests.benchmarks.django_statements``.

Times are of the processor, the best of several rounds, on a database in memory; what a statement costs
on a server comes on top of each. "bare" is the same project without the adapter's receivers and wrapper.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from time import process_time
from timeit import repeat

import django
from django.db import connection, transaction
from django.db.models.signals import (
    m2m_changed,
    post_delete,
    post_init,
    post_save,
    pre_delete,
    pre_save,
)

SIGNALS = (m2m_changed, post_delete, post_init, post_save, pre_delete, pre_save)
ROUNDS, TIMES = 15, 400


def best(function):
    """Microseconds of one call."""
    return min(repeat(function, timer=process_time, number=TIMES, repeat=ROUNDS)) / TIMES * 1e6


@contextmanager
def bare():
    """Nothing of the adapter listens."""
    wrappers, connection.execute_wrappers[:] = list(connection.execute_wrappers), []
    kept = [(signal, signal.receivers) for signal in SIGNALS]
    for signal in SIGNALS:
        signal.receivers = []
        signal.sender_receivers_cache.clear()
    try:
        yield
    finally:
        connection.execute_wrappers[:] = wrappers
        for signal, receivers in kept:
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()


def subjects():
    """What is measured, by name."""
    from tests.django.library.models import Author, Book, Untracked

    author = Author.objects.create(name="a")
    book = Book.objects.create(title="b", author=author)
    other = Untracked.objects.create(text="x")
    return {
        "SELECT of one row": lambda: Author.objects.get(pk=author.pk),
        "save(), by primary key": author.save,
        "save(), two mappings, one by a field": book.save,
        "save() of an untracked model": other.save,
        "QuerySet.update() of a tracked model": lambda: Author.objects.update(name="a"),
        "QuerySet.update() of an untracked model": lambda: Untracked.objects.update(text="x"),
    }


def statements():
    """The wrapper alone, around a statement that costs nothing."""
    (watch,) = connection.execute_wrappers
    cursor = connection.cursor()
    context = {"connection": connection.cursor().db, "cursor": cursor}

    def execute(*_):
        return None

    texts = {
        "SELECT": 'SELECT "a"."id", "a"."name" FROM "a" WHERE "a"."id" = %s LIMIT 21',
        "UPDATE of an untracked table": 'UPDATE "a" SET "name" = %s WHERE "a"."id" = %s',
        "SAVEPOINT": "SAVEPOINT s1_x1",
    }
    for name, sql in texts.items():
        plain = best(lambda sql=sql: execute(sql, (), False, context))
        watched = best(lambda sql=sql: watch(execute, sql, (), False, context))
        yield name, watched - plain


def main():
    """Prints two tables."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    connection.settings_dict["NAME"] = ":memory:"
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    print("The wrapper alone, microseconds for each statement:")
    for block, name in ((None, "autocommit"), (transaction.atomic(), "transaction")):
        if block is not None:
            block.__enter__()
        for kind, cost in statements():
            print(f"  {kind + ', ' + name:<50}{cost:8.2f}")
    transaction.set_rollback(True)
    block.__exit__(None, None, None)
    print("Whole calls on SQLite in memory, microseconds:            bare  tracked")
    for kind, call in subjects().items():
        with bare():
            plain = best(call)
        print(f"  {kind:<50}{plain:8.1f} {best(call):8.1f}")


if __name__ == "__main__":
    main()
