"""One Chromium for the whole run, and web servers for it to look at.

``SCREENSHOTS=1`` has the tests renew the pictures of the docs (``make screenshots``).
"""

from __future__ import annotations

import pytest

from tests.browser.browsing import Page, Site, start_chromium


def pytest_collection_modifyitems(items):
    """Marks the tests with a browser, so that ``-m 'not browser'`` leaves them out."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    """The browser."""
    driver = start_chromium(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium):
    """The browser of a person whom no site knows yet."""
    page = Page(chromium)
    page.forget()
    return page


@pytest.fixture(scope="module")
def start_site(tmp_path_factory):
    """Starts a web server that lives as long as the module: ``start_site(command, env=...)``.

    Start several, then wait for each with ``ready("/path")``; so they start at the same time.
    """
    folder, sites = tmp_path_factory.mktemp("sites"), []

    def start(command, **options):
        sites.append(Site(command, folder, **options))
        return sites[-1]

    yield start
    for site in sites:
        site.close()
