"""What is done to several use cases, or to all: first a page that asks, then the deed."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cache_core.errors import ConfigurationError, OverrideConflict, OverridesUnavailable
from cache_core.page.actions import ACTIONS, Action, carry_out
from cache_core.page.overview import overview
from cache_core.policy.overrides import EVERYTHING
from django_ext.admin_pages.forms import KillSwitchForm, ReasonForm
from django_ext.admin_pages.frame import CAUSE, FramedAdmin, user_name
from django_ext.default import cache

REFUSALS = (ConfigurationError, OverrideConflict, OverridesUnavailable)
"""Errors after which nothing was changed."""


class ActingPages(FramedAdmin):
    """Actions and the kill switch of everything."""

    def action_page(self, request: HttpRequest) -> HttpResponse:
        """Asks whether to do the action, or does it."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        action, names = ACTIONS.get(request.POST.get("action", "")), _chosen(request)
        if action is None or not names:
            text = _("Choose an action and at least one use case.")
            self.message_user(request, text, messages.WARNING)
            return self.go("changelist")
        if not self.rights(request).may_do(action) or EVERYTHING in names:
            raise PermissionDenied
        is_confirmed = "confirmed" in request.POST
        form = ReasonForm(request.POST if is_confirmed else None, label_suffix="")
        if is_confirmed and form.is_valid():
            self._act(request, action, names, form.cleaned_data["why"])
            return self.go("changelist")
        # One field for all of them: Django takes a thousand fields at most.
        chosen = "\n".join(names)
        title = _(action.label)
        return self.page(
            request, "confirm", title, action=action.name, names=names, chosen=chosen, form=form
        )

    def _act(self, request: HttpRequest, action: Action, names: Sequence[str], why: str) -> None:
        since = cache.clock.wall()
        try:
            done = carry_out(cache, action, names, by=user_name(request), why=why, cause=CAUSE)
        except REFUSALS as error:
            self.refuse(request, error)
            return
        self.log(request, done, since)
        text = ngettext(
            "%(action)s: done for %(number)s use case.",
            "%(action)s: done for %(number)s use cases.",
            len(done),
        )
        self.message_user(
            request, text % {"action": _(action.label), "number": len(done)}, messages.SUCCESS
        )

    def kill_switch_page(self, request: HttpRequest) -> HttpResponse:
        """Asks why everything is to be switched off or on again; does it when that was said."""
        form = KillSwitchForm(request.POST or None, label_suffix="")
        is_off = cache.control.listing().everything_is_off
        if request.method == "POST" and form.is_valid():
            self._flip(request, off="off" in request.POST, why=form.cleaned_data["why"])
            return self.go("changelist")
        title = _("Switch everything on again") if is_off else _("Switch everything off")
        return self.page(request, "kill_switch", title, form=form, is_off=is_off)

    def _flip(self, request: HttpRequest, *, off: bool, why: str) -> None:
        control, since = cache.control, cache.clock.wall()
        flip = control.switch_off_everything if off else control.switch_on_everything
        try:
            flip(by=user_name(request), why=why, cause=CAUSE)
        except REFUSALS as error:
            self.refuse(request, error)
            return
        self.log(request, [EVERYTHING], since)
        text = _("Everything is switched off.") if off else _("The kill switch is taken back.")
        self.message_user(request, text, messages.WARNING if off else messages.SUCCESS)


def _chosen(request: HttpRequest) -> list[str]:
    """The use cases that are ticked, those that were asked about, or all that a search has found."""
    if "all_found" not in request.POST:
        chosen = request.POST.get("chosen", "").splitlines()
        return sorted({*request.POST.getlist("names"), *chosen})
    found = overview(cache, search=request.POST.get("q", ""), per_page=10**9)
    return sorted(line.name for line in found.lines)
