"""The control page of the Flask example in a browser, with a second process that is to follow it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from cache_core import Cache
from tests.browser.browsing import ROOT

PROJECT = ROOT / "example_projects" / "flask_catalog"
CONTROL = "/_cache/"
NUMBER = 12

# The example with a few made-up countries in place of the real ones, which take seconds to load.
PREPARE = f"""
import sys
from pathlib import Path
from catalog import create_app
from catalog.login import add_user
from catalog.models import City, Country, db

with create_app(Path(sys.argv[1])).app_context():
    db.create_all()
    add_user("ada", "ada", is_staff=True)
    add_user("bob", "bob")
    for number in range({NUMBER}):
        country = Country(code=f"C{{number:02}}", name=f"Country {{number}}", continent="EU",
                          capital=f"City {{number}}", area=1.0, population=1)
        db.session.add(City(id=number + 1, name=f"City {{number}}", country=country,
                            latitude=number, longitude=number, population=1000 * (number + 1)))
    db.session.commit()
"""


@pytest.fixture(scope="module")
def catalogs(tmp_path_factory, start_site, redis_server):
    """Two processes of the example over one database and one Redis."""
    database = tmp_path_factory.mktemp("catalog") / "catalog.sqlite3"
    env = {
        "PYTHONPATH": f"{PROJECT}{os.pathsep}{ROOT}",
        "FLASK_CACHE_CORE__REDIS": json.dumps(redis_server.url),
        "FLASK_CACHE_CORE__FLEET_SECONDS": "0.5",
    }
    redis_server.flush()
    prepare = [sys.executable, "-c", PREPARE, str(database)]
    subprocess.run(prepare, cwd=PROJECT, env={**os.environ, **env}, check=True, timeout=60)
    app = f"catalog:create_app({str(database)!r})"
    command = ["python", "-m", "flask", "--app", app, "run", "--port", "{port}"]
    sites = [start_site(command, env=env, cwd=PROJECT) for _ in range(2)]
    return [site.ready("/login") for site in sites]


@pytest.fixture(autouse=True)
def nothing_is_set(catalogs, redis_server):
    """What a test has set by hand is gone after it, and both processes have heard of that."""
    yield
    namespace = json.loads(catalogs[0].get("/cache.json"))["namespace"]
    cache = Cache(redis=redis_server.url, namespace=namespace, overrides="redis")
    cache.control.refresh()
    left = tuple(cache.control.overrides())
    if left:
        cache.control.reset(*left)
        for site in catalogs:
            eventually(lambda site=site: made_anew(site) == 0)
    cache.close()


@pytest.fixture
def visit(page, catalogs):
    """Logs in, which leads to the control page: ``visit("ada")``."""

    def go(name):
        page.open(f"{catalogs[0].url}{CONTROL}")
        page.fill("[name=name]", name)
        page.fill("[name=password]", name)
        page.submit("main form button")
        says(page, "All use cases together")
        return page

    return go


def loads(site):
    """How often the reports were made in this process so far."""
    return json.loads(site.get("/cache.json"))["use_cases"]["CountryReport"]["loads"]


def made_anew(site):
    """How many of the reports are made for a request, though they were asked for just before."""
    site.get("/")  # Reads versions, which tell of overrides; what is ramped to 0 reads none.
    paths = [f"/country/C{number:02}" for number in range(NUMBER)]
    for path in paths:
        site.get(path)
    before = loads(site)
    for path in paths:
        site.get(path)
    return loads(site) - before


def eventually(condition, seconds=40):
    """Waits until *condition()* holds; what a process is told takes it a moment."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


def says(page, text):
    """Waits until *text* is on the page: a form leads to a page that leads to another one."""
    page.until(lambda: text in page.driver.page_source)


def ramp(page, percent, why=""):
    """Sets both ramps of the reports on their page."""
    page.press("CountryReport")
    says(page, "What holds")
    page.fill("[name=ramp_local]", percent)
    page.fill("[name=ramp_remote]", percent)
    page.fill("[name=why]", why)
    page.press("Save")
    says(page, "Saved: CountryReport.")


def test_a_ramp_is_set_and_another_process_follows(visit, catalogs):
    """From 0 to 50 percent in the form; half of the countries are cached in the other process then."""
    page, (_, other) = visit("ada"), catalogs
    ramp(page, 0, "the new ranking is wrong for islands")
    eventually(lambda: made_anew(other) == NUMBER)
    page.press("Use cases")
    says(page, "With those chosen")
    ramp(page, 50, "fixed; half of the countries first")
    eventually(lambda: 0 < made_anew(other) < NUMBER)
    page.press("Use cases")
    says(page, "<small>fixed; half of the countries first</small>")
    assert page.complaints() == []
    page.picture("flask-overview-light")
    page.prefer("dark")
    page.picture("flask-overview-dark")
    page.press("CountryReport")
    says(page, "What holds")
    page.picture("flask-use-case-dark", width=1100, most=1100)
    page.prefer("light")
    page.picture("flask-use-case-light", width=1100, most=1100)


def test_several_are_reset_at_once(visit, catalogs):
    """Chosen by keyboard, asked about, and done; the other process makes nothing anew then."""
    page, (_, other) = visit("ada"), catalogs
    for name in ("CountryReport", "City"):
        page.one(f'input[name=use_case][value="{name}"]').send_keys(" ")
    page.choose("#action", "reset")
    page.press("Go on")
    says(page, "2 use cases would change")
    page.press("Reset to code and settings")
    says(page, "City, CountryReport")
    eventually(lambda: made_anew(other) == 0)
    assert page.complaints() == []


def test_the_kill_switch_of_everything(visit, catalogs):
    """Thrown, followed by the other process, and taken back; no script is needed."""
    page, (_, other) = visit("ada"), catalogs
    page.allow_scripts(False)
    page.press("Switch everything off")
    says(page, "Mind what that means")
    page.fill("[name=why]", "the prices of yesterday are shown")
    page.press("Switch everything off")
    says(page, "no use case is served from the cache")
    eventually(lambda: made_anew(other) == NUMBER)
    page.press("Switch everything on again")
    says(page, "What was cached before does not come back")
    page.press("Switch everything on again")
    says(page, "Everything is switched on again.")
    assert page.complaints() == []


def test_who_may_only_look(visit, catalogs):
    """There is no button but that of the search, and a form that is sent nonetheless is refused."""
    page = visit("bob")
    assert [button.text for button in page.all("button")] == ["Search"]
    assert not page.has("input[type=checkbox]") and not page.has("form[method=post]")
    page.press("CountryReport")
    says(page, "What holds")
    assert not page.has("button")
    page.driver.execute_script(
        "document.body.innerHTML = '<form method=post action=/_cache/everything>"
        "<input name=do value=off><button>Send</button></form>'"
    )
    page.press("Send")
    says(page, "You may look at this page, and change nothing on it.")
    page.open(f"{catalogs[0].url}{CONTROL}")
    assert "Everything is switched off" not in page.text


def test_an_invalidation_is_asked_about_and_done(visit, catalogs):
    """What the form names is listed first; then the other process makes it anew."""
    page, (_, other) = visit("ada"), catalogs
    eventually(lambda: made_anew(other) == 0)
    page.press("Invalidate")
    says(page, "behind the cache")
    page.fill("[name=key_type]", "country")
    page.fill("[name=ids]", "C01 C02")
    page.press("Go on")
    says(page, "<li>country C01</li><li>country C02</li>")
    before = loads(other)
    page.submit("button[name=confirmed]")
    says(page, "Invalidated: country C01, country C02.")
    for number in range(4):
        other.get(f"/country/C{number:02}")
    assert loads(other) == before + 2
    assert page.complaints() == []


def test_light_and_dark(visit):
    """The page goes by what its reader prefers."""
    page = visit("ada")
    light = page.color("body"), page.color("body", "color")
    page.prefer("dark")
    dark = page.color("body"), page.color("body", "color")
    assert light[0] != dark[0] and light[1] != dark[1]
    page.press("Explain")
    says(page, "One on each line")
    page.choose("[name=name]", "CountryReport")
    page.fill("[name=arguments]", "C07")
    page.submit("main form button")
    says(page, "The next read is")
    assert page.complaints() == []


def test_it_can_be_read_on_a_phone_and_from_right_to_left(visit):
    """Nothing but the table, which scrolls by itself, is wider than the window."""
    page = visit("bob")
    page.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True},
    )
    for direction in ("ltr", "rtl"):
        page.driver.execute_script(f"document.documentElement.dir = '{direction}'")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 360
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
