"""Invalidating by hand, explaining a call, and what the doctor finds; as the command does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cache_core.console.result import DONE, Result
from cache_core.console.verbs import execute
from cache_core.errors import CacheCoreError
from cache_core.events import Reason
from cache_core.explained import THIS_PROCESS, WHY, seconds
from cache_core.page.showing import NONE
from django_ext.admin_pages.forms import ExplainForm, InvalidateForm
from django_ext.admin_pages.frame import FramedAdmin
from django_ext.admin_pages.words import LAYERS, SOURCES
from django_ext.default import cache
from django_ext.doctor import examine
from django_ext.models import UseCaseOverride

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

SEVERITIES = {
    "error": ("\N{HEAVY MULTIPLICATION X}", gettext_lazy("Error")),
    "warning": ("!", gettext_lazy("Warning")),
    "info": ("i", gettext_lazy("Fact")),
}

_NOTHING_ELSE = {"tag": (), "tenant": (), "buffer_ms": 0, "yes": True}


class AskingPages(FramedAdmin):
    """What can be asked of the cache besides its ramps."""

    def invalidate_page(self, request: HttpRequest) -> HttpResponse:
        """Shows what would be invalidated, and does it when that was confirmed."""
        form = InvalidateForm(request.POST or None, use_cases=_names())
        found = None
        if request.method == "POST" and form.is_valid():
            try:
                is_confirmed = "confirmed" in request.POST
                found = _invalidated(form.cleaned_data, dry_run=not is_confirmed)
                if is_confirmed:
                    return self._invalidated(request, found)
            except CacheCoreError as error:
                form.add_error(None, str(error))
        return self.page(
            request,
            "invalidate",
            _("Invalidate"),
            form=form,
            found=found.data if found is not None else None,
            concerned=_concerned(form.cleaned_data) if found is not None else (),
            key_types=sorted({own.key_type for own in cache.use_cases() if own.key_type}),
        )

    def _invalidated(self, request: HttpRequest, found: Result) -> HttpResponse:
        data: Any = found.data
        names = ", ".join(data["targets"])
        if found.code == DONE:
            text = _("Invalidated: %(names)s.") % {"names": names}
            self.message_user(request, text, messages.SUCCESS)
        else:
            text = _("The store did not acknowledge; repeat it when it answers: %(names)s.")
            self.message_user(request, text % {"names": names}, messages.ERROR)
        said = "invalidated" if found.code == DONE else "invalidated, and the store did not answer"
        self.log_change(request, UseCaseOverride(use_case=names[:200]), f"{said}: {names}")
        return self.go("invalidate")

    def explain_page(self, request: HttpRequest) -> HttpResponse:
        """What the next call would do, and why. Arguments are shown, values never."""
        initial = {"use_case": request.GET.get("use_case", "")}
        form = ExplainForm(request.POST or None, use_cases=_names(), initial=initial)
        said = None
        if request.method == "POST" and form.is_valid():
            arguments = str(form.cleaned_data["arguments"]).splitlines()
            wanted = {
                "verb": "explain",
                "use_case": form.cleaned_data["use_case"],
                "arguments": [each.strip() for each in arguments if each.strip()],
            }
            try:
                said = _readable(execute(cache, wanted).data)
            except Exception as error:  # noqa: BLE001 - functions of the project may be called
                form.add_error(None, f"{error}")
        return self.page(request, "explain", _("Explain a call"), form=form, said=said)

    def doctor_page(self, request: HttpRequest) -> HttpResponse:
        """Everything that the doctor finds in this process and the store."""
        findings = [(*SEVERITIES[each.severity.value], each) for each in examine(cache)]
        return self.page(request, "doctor", _("Doctor"), findings=findings)


def _names() -> list[str]:
    return [each.name for each in cache.use_cases()]


def _invalidated(data: Mapping[str, Any], *, dry_run: bool) -> Result:
    wanted = {
        **_NOTHING_ELSE,
        "verb": "invalidate",
        "key_type": data["key_type"] or None,
        "ids": data["ids"],
        "all": data["every"],
        "use_case": [data["use_case"]] if data["use_case"] else [],
        "dry_run": dry_run,
    }
    return execute(cache, wanted)


def _concerned(data: Mapping[str, Any]) -> list[str]:
    """The use cases that are known to depend on it; while loading, others may have found to."""
    about = data["key_type"]
    return [
        each.name
        for each in cache.use_cases()
        if (about and each.key_type == about and each.tracked) or each.name == data["use_case"]
    ]


def _readable(said: Any) -> dict[str, Any]:
    """An explanation for people."""
    layers = [
        {
            "name": LAYERS[each["layer"]],
            "state": _state(each["off"] or each["reason"]),
            "age": _time(each["age"]),
            "left": _time(each["left"]),
            "size": NONE if each["size"] is None else each["size"],
            "ramp": f"{each['ramp']:g} %",
            "bucket": NONE if each["bucket"] is None else each["bucket"],
            "filled_by": _filler(each["filled_by"]),
        }
        for each in said["layers"]
    ]
    versions = [{**each, "age": _time(each["age"])} for each in said["versions"]]
    policy = [
        (name, each["value"], SOURCES[each["source"]])
        for name, each in said["policy"].items()
        if each["source"] != "built-in"
    ]
    return {**said, "layers": layers, "versions": versions, "policy": policy}


def _state(reason: Reason | None) -> str:
    return _("valid") if reason is None else WHY.get(reason, reason.value)


def _filler(name: str | None) -> str:
    return _("this process") if name == THIS_PROCESS else name or NONE


def _time(number: float | None) -> str:
    return NONE if number is None else seconds(number)
