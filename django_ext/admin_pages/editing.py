"""The form of one override, its planned steps, and its history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from cache_core.control.listing import Controlled
from cache_core.errors import ConfigurationError, OverrideConflict, OverridesUnavailable
from cache_core.page import form as page_form
from cache_core.page.actions import ACTIONS
from cache_core.page.overview import line
from cache_core.page.showing import moment
from cache_core.policy.overrides import EVERYTHING
from django_ext.admin_pages.forms import OverrideForm, StepForm
from django_ext.admin_pages.frame import CAUSE, FramedAdmin, user_name
from django_ext.admin_pages.words import (
    FIELDS,
    SOURCES,
    STATES,
    HistoryLine,
    history_lines,
    value_text,
    wishes_text,
)
from django_ext.default import cache

LINES = 50
"""Lines of history on one page."""

RECENT = 10
"""Lines of history below a form."""

Texts = Mapping[str, str]
Planned = list[tuple[object, Mapping[str, Any]]]


class EditingPages(FramedAdmin):
    """One use case."""

    def change_page(self, request: HttpRequest, name: str) -> HttpResponse:
        """The form of its override, with all that is known of it."""
        row = _found(unquote(name))
        if row is None:
            return self._gone(request, unquote(name))
        now, otherwise = _shown(row), _otherwise(row)
        if request.method != "POST":
            return self._form_page(request, row, OverrideForm(initial=now, otherwise=otherwise))
        self._check_may_edit(request, row)
        form = OverrideForm(request.POST, initial=now, otherwise=otherwise)
        if form.is_valid():
            try:
                self._save(request, row.use_case, page_form.wanted(form.texts, now))
                return self.go("changelist")
            except ConfigurationError as error:
                form.refuse(page_form.errors(error))
            except OverridesUnavailable as error:
                self.refuse(request, error)
            except OverrideConflict as error:
                self.refuse(request, error)
                form = _after(form, name, otherwise)
        return self._form_page(request, row, form)

    def steps_page(self, request: HttpRequest, name: str) -> HttpResponse:
        """Adds a planned step, or takes one away; its form is on the page of the use case."""
        row = _found(unquote(name))
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if row is None:
            return self._gone(request, unquote(name))
        self._check_may_edit(request, row)
        since = cache.clock.wall()
        try:
            steps = _steps_after(row, request.POST)
            cache.control.schedule(
                row.use_case,
                steps,
                by=user_name(request),
                why=request.POST.get("why", ""),
                cause=CAUSE,
                expected=request.POST.get("revision", ""),
            )
        except (ConfigurationError, OverrideConflict, OverridesUnavailable) as error:
            self.refuse(request, error)
        else:
            self.log(request, [row.use_case], since)
        return self.go("change", row.use_case)

    def history_page(self, request: HttpRequest, name: str = "") -> HttpResponse:
        """What was changed: of one use case, or of all."""
        use_case = unquote(name)
        page = request.GET.get("p", "")
        number = max(1, int(page)) if page.isdecimal() and len(page) < 6 else 1
        lines = self._history(request, use_case or None, LINES + 1, (number - 1) * LINES)
        return self.page(
            request,
            "history",
            _("History of %(name)s") % {"name": use_case} if use_case else _("History"),
            use_case=use_case,
            lines=lines[:LINES],
            later=number - 1,
            earlier=number + 1 if len(lines) > LINES else 0,
        )

    def _save(self, request: HttpRequest, use_case: str, wish: page_form.Wanted) -> None:
        if wish.is_empty:
            self.message_user(request, _("There was nothing to change."), messages.INFO)
            return
        since = cache.clock.wall()
        page_form.save(cache, use_case, wish, by=user_name(request), cause=CAUSE)
        self.log(request, [use_case], since)
        text = _("%(name)s was changed.") % {"name": use_case}
        self.message_user(request, text, messages.SUCCESS)

    def _check_may_edit(self, request: HttpRequest, row: Controlled) -> None:
        everything = row.use_case == EVERYTHING
        if not self.rights(request).may_edit(everything=everything) or row.is_orphan:
            raise PermissionDenied

    def _gone(self, request: HttpRequest, name: str) -> HttpResponse:
        text = _("There is no use case %(name)s, and nothing is set for it.") % {"name": name}
        self.message_user(request, text, messages.WARNING)
        return self.go("changelist")

    def _form_page(self, request: HttpRequest, row: Controlled, form: OverrideForm) -> HttpResponse:
        rights, override, wall = self.rights(request), row.override, cache.clock.wall()
        everything = row.use_case == EVERYTHING
        steps = override.steps if override is not None and not row.has_expired else ()
        sign, state = ("", "") if everything else STATES[line(row, cache.fleet(), "").state.value]
        may_act = not everything and rights.act
        return self.page(
            request,
            "use_case",
            _("All use cases") if everything else row.use_case,
            row=row,
            form=form,
            sign=sign,
            state=state,
            may_edit=rights.may_edit(everything=everything) and not row.is_orphan,
            actions=[(n, _(a.label)) for n, a in ACTIONS.items() if may_act and rights.may_do(a)],
            effective=_effective(row),
            steps=[
                (repr(step.at), moment(step.at), wishes_text(step.policy.to_mapping()))
                for step in steps
                if step.at > wall
            ],
            step_form=StepForm(label_suffix="", auto_id="id_step_%s"),
            set_at=moment(override.at) if override is not None else "",
            lines=self._history(request, row.use_case, RECENT, 0),
        )

    def _history(
        self, request: HttpRequest, use_case: str | None, limit: int, skip: int
    ) -> list[HistoryLine]:
        try:
            return history_lines(cache.control.history(use_case, limit=limit, skip=skip))
        except OverridesUnavailable as error:
            text = _("The history cannot be read. %(error)s") % {"error": error}
            self.message_user(request, text, messages.ERROR)
            return []


def _found(name: str) -> Controlled | None:
    listing = cache.control.listing()
    if name == EVERYTHING:
        return Controlled(name, None, listing.everything, None, None)
    return next((row for row in listing.rows if row.use_case == name), None)


def _shown(row: Controlled) -> dict[str, str]:
    return page_form.shown(row.override, cache.clock.wall())


def _otherwise(row: Controlled) -> dict[str, str]:
    """What holds in the place of an empty field."""
    if row.otherwise is None:
        return {}
    values = {name: value for name, value, _source in row.otherwise.rows()}
    return {name: f"{values[name]:g}" for name in page_form.NUMBERS if values[name] is not None}


def _effective(row: Controlled) -> list[tuple[Any, str, Any]]:
    """Name, value and source of each field of the policy that holds."""
    if row.effective is None:
        return []
    return [
        (FIELDS.get(name, name), value_text(name, value), SOURCES[source])
        for name, value, source in row.effective.rows()
        if name in FIELDS or (source not in ("built-in", "default") and name != "note")
    ]


def _after(form: OverrideForm, name: str, otherwise: Texts) -> OverrideForm:
    """The form again after somebody else was faster: theirs stands beside what differs."""
    row = _found(unquote(name))
    now = page_form.shown(row.override if row is not None else None, cache.clock.wall())
    again = OverrideForm(form.merged(now), initial=now, otherwise=otherwise)
    again.show_theirs(now)
    return again


def _steps_after(row: Controlled, data: Mapping[str, str]) -> Planned:
    """The planned steps with what *data* adds, or without what it removes."""
    override, wall = row.override, cache.clock.wall()
    steps = override.steps if override is not None and not row.has_expired else ()
    planned: Planned = [
        (datetime.fromtimestamp(step.at, timezone.utc), step.policy.to_mapping())
        for step in steps
        if step.at > wall and repr(step.at) != data.get("remove")
    ]
    added = data.get("at", "").strip()
    return [*planned, (added, {"ramp": data.get("ramp", "")})] if added else planned
