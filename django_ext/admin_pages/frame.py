"""What all pages of the admin have in common: permissions, the frame around them, and the audit log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, router, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from cache_core.control.records import Change
from cache_core.errors import ConfigurationError, MissingExtra, OverridesUnavailable
from cache_core.policy.overrides import EVERYTHING
from django_ext.admin_pages.rights import Rights
from django_ext.admin_pages.theme import HAS_UNFOLD
from django_ext.default import cache
from django_ext.models import UseCaseOverride

if TYPE_CHECKING:
    Base = ModelAdmin[UseCaseOverride]
elif HAS_UNFOLD:
    Base = import_string("unfold.admin.ModelAdmin")
else:
    Base = ModelAdmin

CAUSE = "admin"
"""What the history calls a change that is made here."""

STYLES = ["cache_core/admin.css", *(["cache_core/unfold.css"] if HAS_UNFOLD else [])]
MEDIA = forms.Media(css={"all": STYLES})

logger = logging.getLogger("cache_core.django")

View = Callable[..., HttpResponse]


class FramedAdmin(Base):
    """A page of the admin that is not made of rows alone: use cases come from code."""

    def rights(self, request: HttpRequest) -> Rights:
        """What the user of *request* may do here."""
        user: Any = request.user
        flip = user.has_perm(f"{self.opts.app_label}.flip_kill_switch")
        change = super().has_change_permission(request)
        return Rights(flip or super().has_view_permission(request), change, flip)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change something may look at it."""
        return self.rights(request).view

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Rows come and go by themselves."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """See ``has_add_permission``."""
        return False

    def framed(self, method: View, right: str) -> View:
        """*method* as a view of the site, for those who have *right* (a property of ``Rights``)."""

        def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            request.current_app = self.admin_site.name
            if not getattr(self.rights(request), right):
                raise PermissionDenied
            try:
                return method(request, *args, **kwargs)
            except (ConfigurationError, MissingExtra) as error:
                return self.page(request, "unusable", _("The cache cannot be used"), error=error)

        view.__name__ = method.__name__
        return self.admin_site.admin_view(view)

    def page(
        self, request: HttpRequest, template: str, title: str, **context: Any
    ) -> TemplateResponse:
        """A page in the frame of the site."""
        return TemplateResponse(
            request,
            f"admin/{self.opts.app_label}/{template}.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": title,
                "media": MEDIA,
                "has_theme": HAS_UNFOLD,
                "rights": self.rights(request),
                "EVERYTHING": EVERYTHING,
                **context,
            },
        )

    def address(self, page: str, *args: str) -> str:
        """The path of a page of this model: ``changelist``, ``change`` and so on."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_{page}"
        return reverse(name, args=[quote(each) for each in args], current_app=self.admin_site.name)

    def go(self, page: str, *args: str) -> HttpResponseRedirect:
        """Sends the browser to a page."""
        return HttpResponseRedirect(self.address(page, *args))

    def refuse(self, request: HttpRequest, error: Exception) -> None:
        """Says that nothing was done, and why."""
        text = _("Nothing was changed. %(error)s") % {"error": error}
        self.message_user(request, text, messages.ERROR)

    def log(self, request: HttpRequest, names: Collection[str], since: float) -> None:
        """Notes in Django's log what was changed of the overrides *names*.

        Args:
            request: Whose user has changed it.
            names: Use cases.
            since: When that began, in seconds since 1970.
        """
        changes = _changes(names, since)
        try:
            with transaction.atomic(using=router.db_for_write(LogEntry)):
                for change in changes:
                    row = UseCaseOverride(pk=change.use_case, use_case=change.use_case)
                    self.log_change(request, row, sentence(change))
        except DatabaseError:  # the change was made, and its own history tells of it
            logger.exception("Django's log of the admin could not be written")


def user_name(request: HttpRequest) -> str:
    """Who the history says it was."""
    return str(request.user.get_username())


def sentence(change: Change) -> str:
    """A change for Django's log: in the words of the settings, whatever language is read."""
    pairs: Mapping[str, tuple[Any, Any]] = change.fields
    changed = ", ".join(
        f"{name}: {_said(old)} -> {_said(new)}" for name, (old, new) in pairs.items()
    )
    return f"{changed} ({change.why})" if change.why else changed


def _changes(names: Collection[str], since: float) -> list[Change]:
    try:
        lines = cache.control.history(limit=2 * len(names) + 10)
    except OverridesUnavailable:
        return []
    recent = [line for line in lines if line.at >= since - 0.001 and line.cause == CAUSE]
    return [line for line in recent[::-1] if line.use_case in names]


def _said(value: object) -> str:
    return "-" if value is None else str(value)
