"""A small browser for the demo: keeps cookies, fills in forms, reads how a page was answered."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from time import perf_counter
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, Request, build_opener


@dataclass(frozen=True)
class Page:
    """A page as it came over HTTP.

    Args:
        milliseconds: From sending the request to the last byte.
        hits, loads: What the server says the cache had, and how often a loader ran.
    """

    url: str
    status: int
    text: str
    milliseconds: float
    hits: int
    loads: int


class Browser:
    """Visits the pages of one site.

    Args:
        site: Its address, for example ``http://127.0.0.1:8000``.
    """

    def __init__(self, site):
        self.site = site
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, path):
        return self._visit(Request(urljoin(self.site, path)))

    def submit(self, path, **changes):
        """Visits the page, changes some fields of its form and sends it; returns what comes back."""
        page = self.get(path)
        fields = {**Form.of(page.text), **changes}
        headers = {"Referer": page.url}
        return self._visit(Request(page.url, urlencode(fields).encode(), headers))

    def _visit(self, request):
        started = perf_counter()
        with self._open(request) as response:
            text = response.read().decode()
            hits, loads = (int(response.headers.get(f"X-Atlas-{n}", 0)) for n in ("Hits", "Loads"))
            milliseconds = (perf_counter() - started) * 1000
            return Page(response.url, response.status, text, milliseconds, hits, loads)

    def _open(self, request):
        try:
            return self._opener.open(request, timeout=60)
        except HTTPError as error:
            return error


class Form(HTMLParser):
    """Collects what a browser would send of the forms of a page that are sent by POST."""

    def __init__(self):
        super().__init__()
        self.fields = {}
        self._posts = False
        self._open = None
        self._chosen = False

    @classmethod
    def of(cls, html):
        form = cls()
        form.feed(html)
        return form.fields

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "form":
            # The admin's form to log out stands on every page.
            self._posts = given.get("method") == "post" and given.get("id") != "logout-form"
        elif not self._posts:
            return
        elif tag == "input" and given.get("name") and given.get("type") != "submit":
            self.fields[given["name"]] = given.get("value", "")
        elif tag in {"textarea", "select"}:
            self._open = given["name"]
            self.fields[self._open] = ""
        elif tag == "option" and "selected" in given:
            self.fields[self._open] = given.get("value", "")

    def handle_data(self, text):
        if self._open is not None and self.get_starttag_text().startswith("<textarea"):
            self.fields[self._open] += text

    def handle_endtag(self, tag):
        if tag in {"textarea", "select"}:
            self._open = None
