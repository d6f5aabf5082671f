"""The outbox: what a transaction changed, kept beside the data until the cache was told."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _


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
