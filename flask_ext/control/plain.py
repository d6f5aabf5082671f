"""The overview as plain data, for scripts: what is set and how it goes, and never a cached value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cache_core.page.overview import Line, Overview


def plain(view: Overview) -> dict[str, Any]:
    """*view* as data that ``json.dumps`` takes."""
    return {
        "namespace": view.fleet.namespace,
        "scope": view.fleet.scope,
        "processes": view.fleet.processes,
        "notices": [{"text": n.text, "is_problem": n.is_problem} for n in view.notices],
        "everything_is_off": view.listing.everything_is_off,
        "page": view.number,
        "pages": view.pages,
        "found": view.found,
        "total": _figures(view.total),
        "use_cases": [_line(line) for line in view.lines],
    }


def _line(line: Line) -> dict[str, Any]:
    row = line.controlled
    layers = {
        cell.layer: {
            "ramp": cell.ramp,
            "ttl": cell.ttl,
            "source": cell.source,
            "ramp_without_override": cell.without,
        }
        for cell in line.layers
    }
    return {
        "name": line.name,
        "key_type": row.key_type,
        "state": line.state.value,
        "layers": layers,
        "override": None if row.override is None else row.override.to_mapping(),
        "malformed": row.malformed,
        "revision": line.revision,
        "advice": [{"id": each.id, "text": each.text} for each in line.advice],
        **_figures(line.figures),
    }


def _figures(figures: Any) -> dict[str, Any]:
    return {
        "requests": figures.requests,
        "hits": figures.hits,
        "hit_ratio": figures.hit_ratio,
        "load_seconds_p50": figures.load_times.p50,
        "load_seconds_p95": figures.load_times.p95,
        "errors": figures.errors + figures.load_failures,
        "invalidations": figures.invalidations,
        "shadow_reads": figures.score.samples,
        "score": figures.score.value,
    }
