"""The list of use cases that pages show."""

from __future__ import annotations

import pytest

from cache_core.events import Layer
from cache_core.page import notices
from cache_core.page.overview import State, overview


def lines(cache, **wanted):
    return {line.name: line for line in overview(cache, **wanted).lines}


class TestState:
    def test_what_code_and_settings_say(self, cache):
        """On, off by the code, and partly on by a ramp."""
        found = {name: line.state for name, line in lines(cache).items()}
        assert found == {"Get": State.ON, "Quiet": State.OFF, "Half": State.PARTLY}

    def test_a_ramp_of_nothing(self, cache):
        """Is as good as off."""
        cache.control.ramp("Get", 0)
        assert lines(cache)["Get"].state is State.OFF

    def test_one_layer_is_enough(self, cache):
        """A use case with one layer at 0 is partly on."""
        cache.control.ramp("Get", remote=0)
        assert lines(cache)["Get"].state is State.PARTLY


class TestLayers:
    def test_the_source_is_that_of_the_strongest_tier(self, cache):
        """A ramp by hand wins over a TTL by code, and is shown beside what would hold without it."""
        cache.control.ramp("Half", local=12.5)
        local, remote = lines(cache)["Half"].layers
        assert (local.shown_ramp, local.source, local.without) == ("12.5 %", "override", 50)
        assert (remote.shown_ramp, remote.source, remote.shown_ttl) == ("50 %", "settings", "60 s")
        assert local.is_overridden and not remote.is_overridden


class TestFigures:
    def test_they_are_those_of_the_use_case(self, cache):
        """Calls, hits and a picture of them."""
        with cache.enable():
            cache.get(1)
            cache.get(1)
        line = lines(cache)["Get"]
        assert (line.requests, line.hit_ratio) == ("2", "50 %")
        assert "<rect" in line.plot

    def test_nothing_was_called(self, cache):
        """No ratio is claimed."""
        assert lines(cache)["Get"].hit_ratio == "\N{EN DASH}"

    def test_shadow_reads(self, cache):
        """Their score is told where there is one."""
        assert lines(cache)["Get"].score == "\N{EN DASH}"
        cache.runtime.tally("Get").checks.match(Layer.LOCAL)
        assert lines(cache)["Get"].score == "100 %"

    def test_advice(self, cache):
        """What the figures suggest stands with its use case."""
        with cache.enable():
            for number in range(300):
                cache.get(number)
        assert [each.id for each in lines(cache)["Get"].advice] == ["advice.never_hit"]
        assert lines(cache)["Half"].advice == ()


class TestFinding:
    @pytest.mark.parametrize(
        ("search", "names"),
        [("", {"Get", "Quiet", "Half"}), (" HALF", {"Half"}), ("row", {"Get"}), ("nothing", set())],
    )
    def test_by_name_and_key_type(self, cache, search, names):
        """Upper and lower case are the same."""
        assert set(lines(cache, search=search)) == names

    def test_by_note(self, cache):
        """Why something was set is found as well."""
        cache.control.ramp("Get", 5, why="ticket 12")
        assert set(lines(cache, search="ticket")) == {"Get"}

    def test_pages(self, cache):
        """A page beyond the last one is the last one."""
        page = overview(cache, per_page=2, number=9)
        assert [line.name for line in page.lines] == ["Half"]
        assert (page.number, page.pages, page.found) == (2, 2, 3)


class TestOrphans:
    def test_an_override_without_a_use_case(self, cache, clock):
        """Is shown, and has no layers."""
        from cache_core import Cache

        other = Cache(clock=clock, overrides=cache.runtime.following.store)
        other.cached(use_case="Gone", ttl=60)(lambda name: name)
        other.control.ramp("Gone", 5)
        line = lines(cache)["Gone"]
        assert line.state is State.ORPHAN and line.layers == ()


class TestNotices:
    def said(self, cache):
        return [notice.template for notice in overview(cache).notices]

    def test_one_process_alone(self, cache):
        """The page says that it shows and changes this process only."""
        assert self.said(cache) == [notices.UNSHARED, notices.ALONE]

    def test_everything_is_off(self, cache):
        """The global kill switch comes first."""
        cache.control.switch_off_everything()
        assert self.said(cache)[0] == notices.STOPPED

    def test_the_store_is_away(self, cache, monkeypatch):
        """Its rows are those known last, and the page says why."""
        cache.control.ramp("Get", 5)

        def away():
            raise OSError("gone")

        monkeypatch.setattr(cache.runtime.following.store, "load", away)
        page = overview(cache)
        assert "gone" in page.notices[0].text
        assert {line.name for line in page.lines} == {"Get", "Quiet", "Half"}
