"""The harness of the browser tests itself."""

from __future__ import annotations

import pytest

from tests.browser import browsing


def test_it_shows_a_site_of_ours(page, start_site, tmp_path):
    """A page of a server that the test has started is shown, and nothing is complained of."""
    (tmp_path / "index.html").write_text("<title>Hello</title><link rel=icon href=data:><p>World")
    command = ["python", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
    page.open(start_site(command, cwd=tmp_path).ready().url)
    assert page.driver.title == "Hello"
    assert page.text == "World"
    assert page.complaints() == []


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)]
)
def test_an_absent_browser_skips_here_and_fails_in_ci(monkeypatch, ci, outcome):
    """Without Chromium a test is skipped on a laptop and failed where CI=true."""
    monkeypatch.setattr(browsing, "BROWSERS", ("no-such-browser",))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"tests/tools/servers\.sh chromium"):
        browsing.require_chromium()
