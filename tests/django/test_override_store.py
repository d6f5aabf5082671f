"""The store of overrides in the project's database: the contract, transactions, raw edits."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import connection, transaction

from cache_core.errors import OverridesUnavailable
from cache_core.policy.policy import Policy
from cache_core.testing.contract.overrides import OverrideStoreContract, override, set_to
from django_ext.models import UseCaseOverride, UseCaseOverrideChange
from django_ext.overrides import ModelOverrides
from tests.django.postgres import as_default, settings_of


def empty():
    UseCaseOverride.objects.all().delete()
    UseCaseOverrideChange.objects.all().delete()


class OwnConnections(ModelOverrides):
    """Leaves no connection behind in the threads of a test."""

    def write(self, edits):
        if connection.in_atomic_block:
            super().write(edits)
        else:
            from threading import current_thread, main_thread

            if current_thread() is main_thread():
                super().write(edits)
            else:
                try:
                    super().write(edits)
                finally:
                    connection.close()


class ModelContract(OverrideStoreContract):
    @pytest.fixture
    def open_store(self, database):
        empty()
        yield OwnConnections
        empty()

    def forge(self, name, text):
        import json

        policy = json.loads(text)["policy"]
        more = policy if isinstance(policy, dict) else {"policy": policy}
        UseCaseOverride.objects.filter(use_case=name).update(ramp_remote=None, more=more)

    def test_done_is_called_after_commit(self, store):
        """Others see nothing of it before; after a rollback nobody has to know."""
        called = []
        with transaction.atomic():
            store.write([set_to("A", override())])
            store.when_committed(lambda: called.append("A"))
            assert called == []
        with transaction.atomic():
            store.write([set_to("B", override())])
            store.when_committed(lambda: called.append("B"))
            transaction.set_rollback(True)
        assert called == ["A"]
        assert list(store.load().overrides) == ["A"]

    def test_a_missing_table_ends_no_transaction(self, store):
        """Before ``migrate``, the statements of the user's transaction go on."""
        call_command("migrate", "cache_core_django", "0001", verbosity=0)
        try:
            with transaction.atomic():
                assert ModelOverrides().load().revision == ""
                assert ModelOverrides().history() == []
                with pytest.raises(OverridesUnavailable, match="migrate"):
                    ModelOverrides().write([set_to("A", override())])
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    assert cursor.fetchone() == (1,)
        finally:
            call_command("migrate", "cache_core_django", verbosity=0)

    def test_a_lost_table_ends_no_transaction(self, store):
        """Also where it was there before."""
        store.load()
        call_command("migrate", "cache_core_django", "0001", verbosity=0)
        try:
            with transaction.atomic():
                with pytest.raises(OverridesUnavailable):
                    store.load()
                with connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
        finally:
            call_command("migrate", "cache_core_django", verbosity=0)


class TestSQLite(ModelContract):
    @pytest.fixture
    def database(self):
        return connection


class TestPostgres(ModelContract):
    @pytest.fixture
    def database(self, postgres):
        with as_default(settings_of(postgres)) as connected:
            yield connected


def test_every_way_of_writing_a_row_changes_the_revision(django_database):
    """A save, an update of a queryset, raw SQL, a deletion."""
    empty()
    store, seen = ModelOverrides(), []

    def note():
        seen.append(store.revision())

    note()
    row = UseCaseOverride.objects.create(use_case="A", ramp_remote="12.5")
    note()
    row.enabled = False
    row.save(update_fields=["enabled"])
    note()
    UseCaseOverride.objects.update(ttl_local=5)
    note()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE cache_core_override SET ramp_local = 1")
    note()
    assert store.load().overrides["A"].policy == Policy(
        enabled=False, ramp_remote=12.5, ramp_local=1, ttl_local=5
    )
    UseCaseOverride.objects.all().delete()
    note()
    assert len({*seen}) == 5 and seen[0] == seen[-1]


def test_a_form_is_told_what_a_policy_refuses(django_database):
    """Every problem at once, where the model's fields cannot tell."""
    row = UseCaseOverride(use_case="A", more={"consistncy": "strict", "grace": -1}, steps="x")
    with pytest.raises(ValidationError) as caught:
        row.full_clean()
    told = " ".join(caught.value.messages)
    assert "Did you mean 'consistency'" in told and "grace" in told and "a list of steps" in told


def test_the_permissions_are_view_change_and_the_kill_switch(django_database):
    """Nobody but superusers adds and deletes rows by hand."""
    from django.contrib.auth.models import Permission

    names = Permission.objects.filter(content_type__app_label="cache_core_django")
    assert {name.codename for name in names} == {
        "view_usecaseoverride",
        "change_usecaseoverride",
        "flip_kill_switch",
        "view_usecaseoverridechange",
    }
