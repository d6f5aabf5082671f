"""The tables of the adapter: the outbox, and what people set by hand with its history."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from cache_core.control.records import fresh_revision
from cache_core.errors import ConfigurationError


def _percent(name: Any) -> models.DecimalField[Any, Any]:
    bounds = [MinValueValidator(0), MaxValueValidator(100)]
    return models.DecimalField(
        name, max_digits=5, decimal_places=2, null=True, blank=True, validators=bounds
    )


def _seconds(name: Any) -> models.FloatField[Any, Any]:
    bounds = [MinValueValidator(0)]
    return models.FloatField(name, null=True, blank=True, validators=bounds)


class OutboxRow(models.Model):
    """What a transaction has changed and the cache must forget.

    Each database that is written through the outbox has a table of them.
    """

    things = models.JSONField(_("what was written"))
    due_at: Any = models.DateTimeField(_("to be delivered from"))
    delivered_at: Any = models.DateTimeField(_("delivered at"), null=True, db_index=True)

    class Meta:
        """Nobody edits these rows, so there are no permissions to give."""

        db_table = "cache_core_outbox"
        default_permissions = ()
        verbose_name = _("undelivered invalidation")
        verbose_name_plural = _("undelivered invalidations")

    def __str__(self) -> str:
        return " ".join(self.things)


class UseCaseOverride(models.Model):
    """What was set by hand for one use case, or for all of them (``"*"``).

    An empty field says nothing: the settings or the code hold. Whatever writes these rows is noticed by
    every process; ``cache.control`` also keeps the history, and tells of changes at the same time.
    """

    use_case: Any = models.CharField(_("use case"), max_length=200, unique=True)
    enabled: Any = models.BooleanField(
        _("enabled"), null=True, blank=True, help_text=_("Empty leaves it to settings and code.")
    )
    ramp_local: Any = _percent(_("ramp of process memory, %"))
    ramp_remote: Any = _percent(_("ramp of the shared store, %"))
    ttl_local: Any = _seconds(_("TTL in process memory, seconds"))
    ttl_remote: Any = _seconds(_("TTL in the shared store, seconds"))
    more: Any = models.JSONField(
        _("more fields"),
        default=dict,
        blank=True,
        help_text=_("Other fields of a policy, by name."),
    )
    note: Any = models.TextField(_("why"), blank=True)
    expires_at: Any = models.DateTimeField(
        _("ends at"), null=True, blank=True, help_text=_("From then on it says nothing.")
    )
    steps: Any = models.JSONField(
        _("later steps"),
        default=list,
        blank=True,
        help_text=_('What changes later: [{"at": seconds since 1970, "policy": {…}}, …]'),
    )
    updated_at: Any = models.DateTimeField(_("changed at"), default=timezone.now, editable=False)
    updated_by: Any = models.CharField(_("changed by"), max_length=200, blank=True, editable=False)
    version: Any = models.CharField(max_length=32, default=fresh_revision, editable=False)

    class Meta:
        """Nobody may add or delete rows by hand but superusers: changing is what is done to them."""

        db_table = "cache_core_override"
        default_permissions = ("view", "change")
        permissions = (("flip_kill_switch", _("Can switch everything off and on")),)
        ordering = ("use_case",)
        verbose_name = _("use case")
        verbose_name_plural = _("use cases")

    def __str__(self) -> str:
        return str(self.use_case)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """As ``Model.save``; the row gets another version, so that nobody overwrites it unseen."""
        self.version = fresh_revision()
        only = kwargs.get("update_fields")
        if only is not None:
            kwargs["update_fields"] = {*only, "version"}
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Checks what the policy itself would refuse.

        Raises:
            ValidationError: Lists every problem.
        """
        from django_ext.overrides import override_of

        try:
            override_of(self)
        except ConfigurationError as error:
            raise ValidationError([str(problem) for problem in error.problems]) from error


class UseCaseOverrideChange(models.Model):
    """One line of the history of overrides: who changed what, when and why."""

    use_case: Any = models.CharField(_("use case"), max_length=200, db_index=True)
    at: Any = models.DateTimeField(_("at"))
    by: Any = models.CharField(_("by"), max_length=200, blank=True)
    why: Any = models.TextField(_("why"), blank=True)
    cause: Any = models.CharField(_("cause"), max_length=50, blank=True)
    fields: Any = models.JSONField(_("fields, old and new"), default=dict)
    version: Any = models.CharField(max_length=32, blank=True)

    class Meta:
        """The history is for reading."""

        db_table = "cache_core_override_change"
        default_permissions = ("view",)
        ordering = ("-pk",)
        verbose_name = _("change of an override")
        verbose_name_plural = _("changes of overrides")

    def __str__(self) -> str:
        return f"{self.use_case}: {', '.join(self.fields)}"
