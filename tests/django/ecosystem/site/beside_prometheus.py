"""django-prometheus: its database engine, its model mixin, its cache backends, its middleware."""

from __future__ import annotations

import pytest
from django.core.cache import caches
from django.db import connections, models, transaction
from django.test import Client
from django_prometheus.models import ExportModelOperationsMixin

from django_ext import cache, track
from tests.django.library.caching import get_author
from tests.django.library.models import Author


class Counted(ExportModelOperationsMixin("counted"), models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        app_label = "library"

    def __str__(self):
        return self.name


track(Counted, key_type="counted_id")


@cache.cached(key_type="counted_id", id_arg="counted_id", use_case="GetCounted", ttl=300)
def get_counted(counted_id):
    return Counted.objects.filter(pk=counted_id).values_list("name", flat=True).first()


def read(function, *args):
    with cache.enable():
        return function(*args)


def figure(name, **labels):
    """A line of /metrics, as a number."""
    text = Client().get("/metrics").content.decode()
    wanted = ",".join([f'{key}="{value}"' for key, value in labels.items()])
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{{wanted}")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def test_a_write_over_the_wrapped_engine_invalidates():
    """Their cursor and our wrapper both see each statement."""
    assert type(connections["default"]).__module__.startswith("django_prometheus")
    author = Author.objects.create(name="A")
    assert read(get_author, author.pk) == "A"
    before = figure("django_db_execute_total", alias="default")
    Author.objects.filter(pk=author.pk).update(name="B")
    assert read(get_author, author.pk) == "B"
    assert figure("django_db_execute_total", alias="default") > before


def test_a_rollback_over_the_wrapped_engine_leaves_nothing_behind():
    """What was read in the transaction is kept from everybody after it."""
    author = Author.objects.create(name="A")
    with pytest.raises(LookupError), transaction.atomic():
        Author.objects.filter(pk=author.pk).update(name="B")
        assert read(get_author, author.pk) == "B"
        raise LookupError
    assert read(get_author, author.pk) == "A"


def test_a_counted_model_invalidates_and_is_counted():
    """The mixin overrides methods that our tracking relies on."""
    one = Counted.objects.create(name="A")
    assert read(get_counted, one.pk) == "A"
    one.name = "B"
    one.save()
    assert read(get_counted, one.pk) == "B"
    pk = one.pk
    one.delete()
    assert read(get_counted, pk) is None
    assert figure("django_model_updates_total", model="counted") == 1.0
    assert figure("django_model_deletes_total", model="counted") == 1.0


def test_their_cache_backend_stands_beside_ours():
    """Each alias is counted by its own; ours tells a stored None from nothing, theirs does not."""
    for alias in ("default", "theirs"):
        caches[alias].set("none", None)
        caches[alias].set("one", 1)
    assert [caches[alias].get("one") for alias in ("default", "theirs")] == [1, 1]
    assert caches["default"].get("none", "nothing") is None
    assert caches["theirs"].get("none", "nothing") == "nothing"
    assert figure("django_cache_get_hits_total", backend="locmem") == 1.0
