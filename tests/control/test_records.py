"""Records of overrides as others may have written them."""

from __future__ import annotations

import json

import pytest

from cache_core.control.editing import moment_from
from cache_core.control.records import LATEST, Change, Override, Snapshot
from cache_core.errors import ConfigurationError
from cache_core.fields import Refused
from cache_core.page.form import shown

TOO_LATE = [10**400, 1e300, LATEST + 1, -1]


@pytest.mark.parametrize("moment", TOO_LATE, ids=["no float", "far", "year 10000", "before 1970"])
@pytest.mark.parametrize("name", ["at", "expires_at"])
def test_a_moment_without_a_date_is_malformed(name, moment):
    """It is a problem of this one record, whatever number stands there."""
    records = {"A": json.dumps({name: moment}), "B": '{"policy": {"ramp": 5}}'}
    snapshot = Snapshot.read("1", records)
    assert (list(snapshot.malformed), list(snapshot.overrides)) == (["A"], ["B"])


@pytest.mark.parametrize("moment", TOO_LATE, ids=["no float", "far", "year 10000", "before 1970"])
def test_a_line_of_the_history_without_a_date_is_none(moment):
    """Stores pass it over as they do whatever else is no line."""
    with pytest.raises(ConfigurationError, match="up to the year 9999"):
        Change.from_mapping({"use_case": "A", "at": moment})


def test_a_name_is_not_empty():
    """No use case has such a name, and policies are not set for it."""
    snapshot = Snapshot.read("1", {"": '{"policy": {"ramp": 5}}'})
    assert not snapshot.overrides
    assert "without a name" in snapshot.malformed[""]


def test_the_last_moment_can_be_shown():
    """Whatever a change takes as its end, the form of the override shows."""
    assert shown(Override(expires_at=LATEST), 0.0)["expires"].startswith("9999-12-31")
    with pytest.raises(Refused):
        moment_from(LATEST - 5)("1m")
