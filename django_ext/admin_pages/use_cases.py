"""The page: its addresses and who may go there, and the list of use cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.urls import URLPattern, path
from django.utils.html import escape
from django.utils.translation import gettext as _

from cache_core.page.actions import ACTIONS
from cache_core.page.overview import PER_PAGE, Line, overview
from cache_core.page.showing import lasts, moment
from django_ext.admin_pages.acting import ActingPages
from django_ext.admin_pages.asking import AskingPages
from django_ext.admin_pages.editing import EditingPages
from django_ext.admin_pages.frame import View
from django_ext.admin_pages.rights import Rights
from django_ext.admin_pages.words import LAYERS, SOURCES, STATES, Word, told
from django_ext.default import cache

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


class LayerText(NamedTuple):
    """What holds for one layer, ready to be read."""

    name: Word
    ramp: str
    ttl: str
    source: Word
    is_overridden: bool
    without: str


class Row(NamedTuple):
    """One use case of the list."""

    line: Line
    address: str
    sign: str
    state: Word
    layers: tuple[LayerText, ...]
    until: str


class UseCaseAdmin(EditingPages, ActingPages, AskingPages):
    """Every use case of this process, what holds for it and how it goes.

    Register it with ``UseCaseOverride`` in any ``AdminSite``. Subclass it to change what it shows.

    Attributes:
        list_per_page: Use cases on one page.
    """

    list_per_page = PER_PAGE

    def get_urls(self) -> list[URLPattern]:
        """The addresses. Their names are those of any model, so links from elsewhere lead here."""
        pages: tuple[tuple[str, View, str, str], ...] = (
            ("", self.list_page, "view", "changelist"),
            ("action/", self.action_page, "act", "action"),
            ("kill-switch/", self.kill_switch_page, "flip", "kill_switch"),
            ("invalidate/", self.invalidate_page, "change", "invalidate"),
            ("explain/", self.explain_page, "view", "explain"),
            ("doctor/", self.doctor_page, "view", "doctor"),
            ("history/", self.history_page, "view", "changes"),
            ("<path:name>/history/", self.history_page, "view", "history"),
            ("<path:name>/steps/", self.steps_page, "change", "steps"),
            ("<path:name>/change/", self.change_page, "view", "change"),
        )
        prefix = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path(route, self.framed(method, right), name=f"{prefix}_{name}")
            for route, method, right, name in pages
        ]

    def list_page(self, request: HttpRequest) -> HttpResponse:
        """Every use case."""
        label = escape(_("requests and hits of the last five minutes"))
        number = request.GET.get("p", "")
        shown = overview(
            cache,
            search=request.GET.get("q", "")[:200],
            number=int(number) if number.isdecimal() and len(number) < 10 else 1,
            per_page=self.list_per_page,
            label=label,
        )
        rights = self.rights(request)
        everything = shown.listing.everything
        return self.page(
            request,
            "use_cases",
            _("Use cases of the cache"),
            overview=shown,
            rows=[self._row(line) for line in shown.lines],
            notices=told(shown.notices),
            oldest=lasts(shown.fleet.oldest_seconds),
            actions=_offered(rights),
            everything=everything,
            everything_at=moment(everything.at) if everything is not None else "",
            numbers=range(1, shown.pages + 1),
        )

    def _row(self, line: Line) -> Row:
        sign, state = STATES[line.state.value]
        layers = tuple(
            LayerText(
                LAYERS[cell.layer],
                cell.shown_ramp,
                cell.shown_ttl,
                SOURCES[cell.source],
                cell.is_overridden,
                "" if cell.without == cell.ramp else f"{cell.without:g} %",
            )
            for cell in line.layers
        )
        turn = line.controlled.override and line.controlled.override.next_turn(cache.clock.wall())
        until = moment(turn) if turn else ""
        return Row(line, self.address("change", line.name), sign, state, layers, until)


def _offered(rights: Rights) -> list[tuple[str, str]]:
    return [(name, _(action.label)) for name, action in ACTIONS.items() if rights.may_do(action)]
