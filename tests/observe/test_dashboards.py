"""The dashboard and the alert rules are valid, and ask for metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from cache_core.observe.dashboards import FILES
from cache_core.observe.table import METRICS, Kind

ROOT = Path(__file__).resolve().parents[2]
SERIES = {metric.exported: metric for metric in METRICS if metric.kind is not Kind.HISTOGRAM} | {
    f"{metric.name}_{part}": metric
    for metric in METRICS
    if metric.kind is Kind.HISTOGRAM
    for part in ("bucket", "sum", "count")
}
BOARD = json.loads(FILES["grafana.json"].read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
RULES = [
    rule
    for group in yaml.safe_load(FILES["alerts.yml"].read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
QUERIES = {f"{p['title']} {t['refId']}": t["expr"] for p in PANELS for t in p["targets"]} | {
    rule["alert"]: rule["expr"] for rule in RULES
}


def labels_in(query):
    """The names of labels that a query filters or groups by."""
    filtered = re.findall(r"(\w+)\s*=~?\s*\"", query)
    grouped = re.findall(r"by \(([^)]*)\)", query)
    return {*filtered, *(name.strip() for names in grouped for name in names.split(","))}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries_ask_for_what_is_exported(query):
    """Each series of a query is one of the table's, each label one of its metric's."""
    series = re.findall(r"cache_core_\w+", query)
    assert series
    assert set(series) <= SERIES.keys()
    known = {"le"}.union(*(SERIES[name].labels for name in series))
    assert labels_in(query) <= known


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES)
def test_queries_fit_the_type_of_a_metric(query):
    """Counters and histograms are looked at by rate or increase, gauges as they are."""
    for name in re.findall(r"cache_core_\w+", query):
        grows = SERIES[name].kind is not Kind.GAUGE
        assert bool(re.search(rf"(rate|increase)\({name}\b", query)) is grows
    assert query.count("(") == query.count(")")
    assert query.count("{") == query.count("}")


def test_every_panel_is_placed_and_numbered():
    """Ids differ, no panel lies on another one, none is wider than the board."""
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells = set()
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & cells
        cells |= own


def test_the_board_can_be_imported_anywhere():
    """The data source is a variable, and every variable of a query is declared."""
    declared = {variable["name"] for variable in BOARD["templating"]["list"]}
    text = json.dumps(BOARD["panels"])
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == declared == {"datasource", "namespace", "use_case"}
    assert {"title", "uid", "schemaVersion", "time"} <= BOARD.keys()
    assert all(panel["title"] and panel["targets"] for panel in PANELS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_is_wrong(rule):
    """Each has a severity, a summary, a description, and a duration in Prometheus' manner."""
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert rule["annotations"].keys() == {"summary", "description"}
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))


def test_prometheus_takes_the_rules():
    """As Prometheus' own tool has it, where that is installed."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    command = [promtool, "check", "rules", str(FILES["alerts.yml"])]
    subprocess.run(command, check=True, capture_output=True)


def test_the_files_can_be_found():
    """The module prints where they are."""
    command = [sys.executable, "-m", "cache_core.observe.dashboards"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    assert told.split() == [str(path) for path in FILES.values()]
