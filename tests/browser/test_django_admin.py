"""The Django admin page in a browser, with a second process that is to follow it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.browser.browsing import ROOT

PASSWORD = "only for tests"
PAGE = "/admin/cache_core_django/usecaseoverride/"


@pytest.fixture(scope="module")
def shops(tmp_path_factory, start_site, redis_server):
    """Two processes of one shop; the first has the admin that people use."""
    env = {
        "SHOP_DATABASE": str(tmp_path_factory.mktemp("shop") / "shop.sqlite3"),
        "SHOP_REDIS": redis_server.url,
        "DJANGO_SETTINGS_MODULE": "tests.browser.shop.settings",
        "PYTHONWARNINGS": "ignore",
    }
    redis_server.flush()
    command = ["python", "-m", "django", "runserver", "--noreload", "--insecure"]
    sites = [start_site([*command, "127.0.0.1:{port}"], env=env) for _ in range(2)]
    prepare = [sys.executable, "-m", "tests.browser.shop.prepare"]  # while they start
    subprocess.run(prepare, cwd=ROOT, env={**os.environ, **env}, check=True, timeout=60)
    return [site.ready("/price/1/") for site in sites]


@pytest.fixture
def visit(page, shops):
    """Logs in and goes to the page: ``visit("boss")``."""

    def go(name, path=""):
        page.open(f"{shops[0].url}/admin/login/?next={PAGE}{path}")
        page.fill("[name=username]", name)
        page.fill("[name=password]", PASSWORD)
        page.submit("[type=submit]")
        return page

    return go


def prices(site, number=20):
    """How many of so many products have one price, and are cached therefore."""
    each = [[site.get(f"/price/{product}/") for _ in range(2)] for product in range(1, number + 1)]
    return sum(first == second for first, second in each)


def eventually(condition, seconds=40):
    """Waits until *condition()* holds; what a process is told takes it a moment."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.05)


def test_a_ramp_is_set_and_another_process_follows(visit, shops):
    """From 0 to 50 percent in the form; half of the products are cached in the other process then."""
    page, other = visit("boss"), shops[1]
    for ramp, expected in ((0, range(1)), (50, range(3, 18))):
        page.press("ProductPrice")
        page.fill("[name=ramp_local]", ramp)
        page.fill("[name=ramp_remote]", ramp)
        page.fill("[name=why]", "new price engine, first half")
        page.press("Save")
        assert "ProductPrice was changed." in page.text
        eventually(lambda expected=expected: prices(other) in expected)
    page.tick("[name=names][value=ProductPrice]")
    page.choose("[name=action]", "reset")
    page.press("Go on …")
    page.press("Reset to code and settings")
    assert "done for 1 use case" in page.text
    eventually(lambda: prices(other, 10) == 10)
    assert page.complaints() == []


def test_the_kill_switch_reaches_every_process(visit, shops):
    """It asks why; then a banner stands above everything, until it is taken back."""
    page, other = visit("boss"), shops[1]
    page.press("Switch everything off")
    page.press("Switch everything off")
    assert "This field is required." in page.text
    page.fill("[name=why]", "the store shows old prices")
    page.press("Switch everything off")
    assert "Everything is switched off" in page.one("[role=alert]").text
    assert "the store shows old prices" in page.one("[role=alert]").text
    page.picture("django-admin-stopped", most=560)
    eventually(lambda: prices(other, 10) == 0)
    page.press("Switch everything on again")
    page.fill("[name=why]", "the store is mended")
    page.press("Switch everything on again")
    assert not page.has("[role=alert]")
    eventually(lambda: prices(other, 10) > 0)
    assert page.complaints() == []


def test_who_may_only_look_has_no_buttons(visit, shops):
    """And what he sends all the same is refused."""
    page = visit("viewer")
    assert not page.has("[name=names]")
    assert "Go on …" not in page.text
    assert "Switch everything off" not in page.text
    page.press("ProductPrice")
    assert not page.has("main [type=submit]")
    for path in ("action/", "kill-switch/", "invalidate/", "ProductPrice/change/"):
        assert posted(page, shops[0].url + PAGE + path) == 403


def test_things_are_invalidated_without_any_script(visit, shops):
    """First the page shows what, then it is done."""
    page, other = visit("boss", "invalidate/"), shops[1]
    page.allow_scripts(False)
    eventually(lambda: other.get("/price/77/") == other.get("/price/77/"))
    before = other.get("/price/77/")
    page.fill("[name=key_type]", "product_id")
    page.fill("[name=ids]", "77 78")
    page.submit("[value='Show what would be invalidated']")
    assert "product_id 77" in page.text
    assert "ProductPage" in page.text
    assert other.get("/price/77/") == before
    page.submit("[value=Invalidate]")
    assert "Invalidated: product_id 77, product_id 78." in page.text
    eventually(lambda: other.get("/price/77/") != before, 1)


def test_the_dark_scheme_is_followed(visit, shops):
    """Background and letters change places, and what is read stays readable."""
    page = visit("boss")
    seen = {}
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.open(page.url)  # the colours of a page that is shown already may fade over
        paper, ink = page.color("body"), page.color("#cc-caption", "color")
        seen[scheme] = (paper, ink)
        assert contrast(paper, ink) > 7
        assert contrast(paper, page.color(".cc-danger", "color")) > 3
    assert seen["light"] != seen["dark"]


def test_pictures_for_the_docs(visit, shops):
    """All pages load; with SCREENSHOTS=1 they are kept."""
    for shop in shops:
        shop.get("/traffic/")
    time.sleep(2 if os.environ.get("SCREENSHOTS") else 0)  # until each process has told its figures
    page = visit("boss", "ProductPage/change/")
    page.fill("[name=ramp_remote]", "25")
    page.fill("[name=why]", "new template: a quarter first")
    page.press("Save")
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        page.open(shops[0].url + PAGE)
        page.picture(f"django-admin-{scheme}", width=1440, most=900)
    page.prefer("light")
    page.press("ProductPage")
    page.picture("django-admin-form", most=1100)
    page.open(f"{shops[0].url}{PAGE}explain/?use_case=ProductPage")
    page.fill("[name=arguments]", "7")
    page.press("Explain")
    assert "What the next call would do" in page.text
    page.picture("django-admin-explain", most=1000)
    for path in ("doctor/", "history/", "invalidate/"):
        page.open(shops[0].url + PAGE + path)
        assert page.has(".cc")
    assert page.complaints() == []


def posted(page, url):
    """The status of a POST with the cookies of the browser."""
    cookies = {each["name"]: each["value"] for each in page.driver.get_cookies()}
    said = "; ".join(f"{name}={value}" for name, value in cookies.items())
    token = cookies.get("csrftoken", "x" * 32)
    data = f"action=ramp_0&names=ProductPrice&why=x&csrfmiddlewaretoken={token}".encode()
    request = Request(url, data, {"Cookie": f"{said}; csrftoken={token}", "Referer": url})
    try:
        with urlopen(request, timeout=10) as response:
            return response.status
    except HTTPError as error:
        error.close()
        return error.code


def contrast(one, other):
    """The contrast of two colours by WCAG, from 1 to 21."""
    lighter, darker = sorted(map(luminance, (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color):
    parts = [int(part) / 255 for part in re.findall(r"\d+", color)[:3]]
    linear = [part / 12.92 if part <= 0.04 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear))
