"""A dashboard for Grafana and alert rules for Prometheus, as files beside this one.

``python -m cache_core.observe.dashboards`` says where they are.
"""

from __future__ import annotations

from pathlib import Path

FILES = {name: Path(__file__).with_name(name) for name in ("grafana.json", "alerts.yml")}
"""The files by name."""
