"""What the core says in English, in the language of the user; and what people read for its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from cache_core.control.records import Change
from cache_core.page.notices import Notice
from cache_core.page.showing import NONE, lasts, moment

Word = str | Promise

STATES: Mapping[str, tuple[str, Word]] = {
    "on": ("\N{BLACK CIRCLE}", _("On")),
    "partly": ("\N{CIRCLE WITH LEFT HALF BLACK}", _("Partly")),
    "off": ("\N{WHITE CIRCLE}", _("Off")),
    "orphan": ("\N{WHITE QUESTION MARK ORNAMENT}", _("Not in the code")),
}
"""State of a use case -> a sign and a word for it."""

SOURCES: Mapping[str, Word] = {
    "built-in": _("built in"),
    "default": _("default"),
    "code": _("code"),
    "settings": _("settings"),
    "provider": _("policy provider"),
    "override": _("set by hand"),
}

LAYERS: Mapping[str, Word] = {"local": _("Process memory"), "remote": _("Shared store")}

FIELDS: Mapping[str, Word] = {
    "enabled": _("switch"),
    "ramp_local": _("ramp of process memory"),
    "ramp_remote": _("ramp of the shared store"),
    "ttl_local": _("TTL in process memory"),
    "ttl_remote": _("TTL in the shared store"),
    "expires_at": _("ends at"),
    "steps": _("later steps"),
}

CAUSES: Mapping[str, Word] = {
    "admin": _("admin"),
    "page": _("control page"),
    "code": _("code"),
    "command line": _("command line"),
    "expiry": _("its time was over"),
    "objective": _("its objective"),
    "step": _("planned step"),
}

OF_THE_CORE = (
    gettext_noop("Everything is switched off: no use case is served from the cache."),
    gettext_noop("The store of overrides cannot be read (%(error)s). This is what was known last."),
    gettext_noop(
        "Overrides were last confirmed %(age)s ago (%(error)s); what was known then holds."
    ),
    gettext_noop("The override of %(use_case)s is damaged and passed over: %(problem)s"),
    gettext_noop("Changes hold in this process only: no store of overrides is shared."),
    gettext_noop("These are the figures of the one process that answered. %(problem)s"),
    gettext_noop("Figures are incomplete. %(problem)s"),
    gettext_noop("The store has failed and is left alone; calls load for themselves."),
    gettext_noop("The store takes no writes (%(refusal)s), so nothing that it holds is believed."),
    gettext_noop("%(number)s invalidations wait for the store."),
    gettext_noop("Ramp to 0 %"),
    gettext_noop("Ramp to 1 %"),
    gettext_noop("Ramp to 5 %"),
    gettext_noop("Ramp to 25 %"),
    gettext_noop("Ramp to 50 %"),
    gettext_noop("Ramp to 100 %"),
    gettext_noop("Switch off"),
    gettext_noop("Take the kill switch back"),
    gettext_noop("Reset to code and settings"),
    gettext_noop("requests and hits of the last five minutes"),
)
"""Named here so that ``makemessages`` finds what the core has no business to translate."""


class Told(NamedTuple):
    """A notice, translated."""

    text: str
    is_problem: bool


class Difference(NamedTuple):
    """What became of one field."""

    field: Word
    old: str
    new: str


class HistoryLine(NamedTuple):
    """One line of the history, ready to be read."""

    use_case: str
    when: str
    by: str
    cause: Word
    why: str
    differences: tuple[Difference, ...]


def told(notices: Iterable[Notice]) -> list[Told]:
    """Notices in the language of the user."""
    return [Told(gettext(each.template) % each.params, each.is_problem) for each in notices]


def history_lines(changes: Iterable[Change]) -> list[HistoryLine]:
    """Changes for people."""
    return [
        HistoryLine(
            each.use_case,
            moment(each.at),
            each.by or NONE,
            CAUSES.get(each.cause, each.cause),
            each.why,
            tuple([_difference(name, *pair) for name, pair in each.fields.items()]),
        )
        for each in changes
    ]


def value_text(name: str, value: object) -> str:
    """A value of a field of a policy or of an override."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return gettext("on") if value else gettext("off")
    if isinstance(value, (int, float)):
        return _number(name, value)
    if isinstance(value, (list, tuple)):
        return "; ".join(_step(each) for each in value) or NONE
    return str(value)


def wishes_text(fields: Mapping[str, object]) -> str:
    """Fields and their values in one line."""
    return ", ".join(
        f"{FIELDS.get(name, name)} {value_text(name, v)}" for name, v in fields.items()
    )


def _number(name: str, value: float) -> str:
    if name == "expires_at":
        return moment(value)
    if name.startswith("ttl_"):
        return lasts(value)
    return f"{value:g} %" if name.startswith("ramp_") else f"{value:g}"


def _difference(name: str, old: object, new: object) -> Difference:
    return Difference(FIELDS.get(name, name), value_text(name, old), value_text(name, new))


def _step(step: object) -> str:
    if not isinstance(step, dict):
        return str(step)
    wishes = {name: value for name, value in step.items() if name != "at"}
    return f"{value_text('expires_at', step.get('at'))}: {wishes_text(wishes)}"
