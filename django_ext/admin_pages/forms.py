"""The forms of the page. What they mean is read by ``cache_core.page.form``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib.admin import widgets
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy as _

from cache_core.page.form import VALUES, merged
from cache_core.page.showing import NONE
from django_ext.admin_pages.theme import HAS_UNFOLD

MOST_IDS = 1_000


def _widget(plain: type[forms.Widget], unfold: str) -> Any:
    """A widget that looks as those around it do."""
    return import_string(f"unfold.widgets.{unfold}") if HAS_UNFOLD else plain


Text = _widget(widgets.AdminTextInputWidget, "UnfoldAdminTextInputWidget")
Lines = _widget(widgets.AdminTextareaWidget, "UnfoldAdminTextareaWidget")
Choice = _widget(forms.Select, "UnfoldAdminSelectWidget")


def _percentage() -> Any:
    attrs = {"min": "0", "max": "100", "step": "0.1", "inputmode": "decimal"}
    widget = Text(attrs=attrs)
    widget.input_type = "number"
    return widget


def _why(*, required: bool = False) -> forms.CharField:
    help_text = _("For your colleagues; it stands in the history.")
    rows = Lines(attrs={"rows": "2"})
    return forms.CharField(
        label=_("Why"), required=required, widget=rows, help_text=help_text, max_length=1_000
    )


def _optional(label: Any, widget: Any, help_text: Any = "") -> forms.CharField:
    return forms.CharField(
        label=label, required=False, widget=widget, help_text=help_text, show_hidden_initial=True
    )


class OverrideForm(forms.Form):
    """The override of one use case; an empty field wishes nothing.

    Args:
        data: What came back; None shows *initial*.
        initial: What ``page.form.shown`` says.
        otherwise: Field -> what holds where it is empty.
    """

    enabled = forms.ChoiceField(
        label=_("Switch"),
        required=False,
        widget=Choice,
        show_hidden_initial=True,
        choices=[
            ("", _("As settings and code say")),
            ("on", _("On")),
            ("off", _("Off: kill switch")),
        ],
    )
    ramp_local = _optional(_("Ramp of process memory, %"), _percentage())
    ramp_remote = _optional(_("Ramp of the shared store, %"), _percentage())
    ttl_local = _optional(_("TTL in process memory"), Text(), _("Seconds, or text like 1h30m."))
    ttl_remote = _optional(_("TTL in the shared store"), Text(), _("Seconds, or text like 1h30m."))
    expires = _optional(
        _("Ends"), Text(), _("After a while, like 2h, or at a time, like 2026-12-24T18:00Z.")
    )
    why = _why()
    revision = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, data: Any = None, *, initial: Mapping[str, str], otherwise: Mapping[str, str]
    ) -> None:
        super().__init__(data, initial=dict(initial), label_suffix="")
        for name, text in otherwise.items():
            self.fields[name].widget.attrs["placeholder"] = text
        self.theirs: dict[str, str] = {}

    @property
    def texts(self) -> dict[str, str]:
        """What was filled in, by field."""
        return {name: str(self.data.get(name, "")) for name in self.fields}

    def merged(self, now: Mapping[str, str]) -> dict[str, str]:
        """As ``page.form.merged``, over what is *now*; it is what the form has shown then."""
        hidden = {name: self.add_initial_prefix(name) for name in VALUES}
        seen = {name: str(self.data.get(hidden[name], "")) for name in VALUES}
        return {**merged(self.texts, seen, now), **{hidden[name]: now[name] for name in VALUES}}

    def show_theirs(self, now: Mapping[str, str]) -> None:
        """Has each field that differs say what it is *now*."""
        mine = self.texts
        self.theirs = {name: now[name] or NONE for name in VALUES if mine[name] != now[name]}

    def refuse(self, errors: Mapping[str, Iterable[str]]) -> None:
        """Takes over what ``page.form.errors`` says."""
        for name, texts in errors.items():
            for text in texts:
                self.add_error(name or None, text)

    @property
    def rows(self) -> list[tuple[forms.BoundField, str]]:
        """The fields that are seen, each with what somebody else has set meanwhile."""
        return [(field, self.theirs.get(field.name, "")) for field in self.visible_fields()]


class ReasonForm(forms.Form):
    """Why something is done to several use cases."""

    why = _why()


class KillSwitchForm(forms.Form):
    """Why everything is switched off or on again."""

    why = _why(required=True)


class StepForm(forms.Form):
    """One step of a ramp that is planned."""

    at = forms.CharField(label=_("When"), widget=Text(attrs={"placeholder": "2h"}), max_length=50)
    ramp = forms.CharField(label=_("Ramp, %"), widget=_percentage(), max_length=10)
    revision = forms.CharField(required=False, widget=forms.HiddenInput)


class InvalidateForm(forms.Form):
    """What has changed behind the cache's back.

    Args:
        data: What came back.
        key_types: Those that are known; others may be written.
        use_cases: All of them.
    """

    key_type = forms.CharField(
        label=_("Kind of key"),
        required=False,
        max_length=200,
        widget=Text(attrs={"list": "cc-key-types", "autocomplete": "off"}),
        help_text=_("One that use cases are about, or any other."),
    )
    ids = forms.CharField(
        label=_("Ids"),
        required=False,
        widget=Lines(attrs={"rows": "3"}),
        help_text=_("One or more, with spaces or on lines of their own."),
    )
    every = forms.BooleanField(label=_("Every id of this kind"), required=False)
    use_case = forms.ChoiceField(label=_("Or a whole use case"), required=False, widget=Choice)

    def __init__(self, data: Any = None, *, use_cases: Iterable[str], **options: Any) -> None:
        super().__init__(data, label_suffix="", **options)
        choice: Any = self.fields["use_case"]
        choice.choices = [("", NONE), *[(name, name) for name in use_cases]]

    def clean_ids(self) -> list[str]:
        """The ids, each once."""
        ids = list(dict.fromkeys(str(self.cleaned_data["ids"]).split()))
        if len(ids) > MOST_IDS:
            raise forms.ValidationError(_("At most %(most)s at once.") % {"most": MOST_IDS})
        return ids


class ExplainForm(forms.Form):
    """A call that is to be explained."""

    use_case = forms.ChoiceField(label=_("Use case"), widget=Choice)
    arguments = forms.CharField(
        label=_("Arguments"),
        required=False,
        max_length=5_000,
        widget=Lines(attrs={"rows": "3"}),
        help_text=_("One on each line, as 7 or lang=de."),
    )

    def __init__(self, data: Any = None, *, use_cases: Iterable[str], **options: Any) -> None:
        super().__init__(data, label_suffix="", **options)
        choice: Any = self.fields["use_case"]
        choice.choices = [(name, name) for name in use_cases]
