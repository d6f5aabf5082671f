"""Runs the catalogue, shows over HTTP what the cache does, and keeps serving.

python example_projects/flask_catalog/demo.py [--once] [--port 5000] [--folder .demo]
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from http.client import HTTPConnection
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from urllib.parse import urlencode

PROJECT = Path(__file__).resolve().parent
ROOT = PROJECT.parents[1]
sys.path[:0] = [str(PROJECT), str(ROOT)]

from catalog import create_app  # noqa: E402
from catalog.load import ensure_database  # noqa: E402
from catalog.models import db  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

PARIS, FRANCE, JAPAN = "/city/2988507", "/country/FR", "/country/JP"
TOKYO = 1850147
REPORT = "CountryReport"
CHANGE = "/_cache/use-case"
CONTROL = f"{CHANGE}?name={REPORT}"


class Browser:
    """One keep-alive connection to the running app, as a browser has."""

    def __init__(self, port):
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookie = None

    def send(self, method, path, form=None):
        """Returns the status, the body and the milliseconds that it took."""
        body = urlencode(form) if form else None
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        headers["Sec-Fetch-Site"] = "same-origin"
        if self._cookie:
            headers["Cookie"] = self._cookie
        started = perf_counter()
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        cookie = response.getheader("Set-Cookie")
        self._cookie = cookie.partition(";")[0] if cookie else self._cookie
        return response.status, text, (perf_counter() - started) * 1000

    def close(self):
        self._connection.close()

    def figures(self, use_case):
        """The hits and loads of a use case so far."""
        counters = json.loads(self.send("GET", "/cache.json")[1])["use_cases"][use_case]
        return sum(counters["hits"].values()), counters["loads"]


class Story:
    """Tells each step with its time and what the cache did, and checks what it claims."""

    def __init__(self, browser):
        self.browser = browser
        self.failures = 0

    def chapter(self, title):
        print(f"\n{title}")
        print(f"    {'':41}{'time':>10}{'hits':>7}{'loads':>7}")

    def step(self, method, path, form=None, *, expect=200, hits=None, loads=None, shows=None):
        """One request, and claims about it: hits and loads of the country report, a text shown."""
        before = self.browser.figures(REPORT)
        status, text, milliseconds = self.browser.send(method, path, form)
        got = [now - then for now, then in zip(self.browser.figures(REPORT), before)]
        print(f"    {method + ' ' + path:41}{milliseconds:7.1f} ms{got[0]:7}{got[1]:7}")
        self.claim(status == expect, f"answers with {expect}")
        self.claim(hits in {None, got[0]}, f"{hits} hits")
        self.claim(loads in {None, got[1]}, f"{loads} loads")
        self.claim(shows is None or shows in text, f"the page shows {shows}")
        return milliseconds

    def claim(self, holds, what):
        if not holds:
            self.failures += 1
            print(f"    NOT SO: {what}")


def tell(browser):
    """The narrated run; returns how many of its claims did not hold."""
    story = Story(browser)
    population = people_on(browser, PARIS)
    print("Hits and loads are those of the use case CountryReport.")
    people = tell_of_objects(story, population)
    tell_of_statements(story, population, people)
    tell_of_ramps(story, people + 500)

    story.chapter("7. Paris gets its people back.")
    story.step("POST", PARIS, {"population": population}, expect=303, hits=0, loads=0)
    story.step("GET", FRANCE, hits=0, loads=1, shows=f"{people:,}")
    return story.failures


def tell_of_objects(story, population):
    """Pages that are cached, a change that is committed, and one that is rolled back.

    Returns the people of France before; Paris has 1000 more at the end.
    """
    story.chapter("1. A country page is slow once.")
    cold = story.step("GET", FRANCE, hits=0, loads=1)
    warm = min(story.step("GET", FRANCE, hits=1, loads=0) for _ in range(2))
    story.step("GET", JAPAN, hits=0, loads=1)
    story.claim(warm < cold, "the warm page is faster than the cold one")
    print(f"    The warm page was {cold / warm:.0f} times as fast.")

    story.chapter("2. A form changes Paris: db.session.commit(), and nothing else in the view.")
    people = people_on(story.browser, FRANCE)
    story.step("POST", PARIS, {"population": population + 1_000}, expect=303, hits=0, loads=0)
    grown = f"{people + 1_000:,}"
    story.step("GET", FRANCE, hits=0, loads=1, shows=grown)
    story.step("GET", FRANCE, hits=1, loads=0, shows=grown)
    story.step("GET", PARIS, shows=f"{population + 1_000:,}")
    story.step("GET", JAPAN, hits=1, loads=0)
    print("    France was computed anew, Japan stayed.")

    story.chapter("3. The next change is flushed to the database and rolled back.")
    form = {"population": 1, "then": "rollback"}
    story.step("POST", PARIS, form, expect=303, hits=0, loads=0)
    story.step("GET", FRANCE, hits=1, loads=0, shows=grown)
    print("    The cache was left alone, and nobody saw what never was.")
    return people


def tell_of_statements(story, population, people):
    """Savepoints and bulk updates; Paris has 500 people more at the end."""
    story.chapter("4. Two lines of corrections, a savepoint for each: Tokyo's is rolled back.")
    form = {"lines": f"{PARIS.rpartition('/')[2]} = {population + 500}\n{TOKYO} = -1"}
    story.step("POST", "/corrections", form, expect=303, hits=0, loads=0)
    people += 500
    story.step("GET", FRANCE, hits=0, loads=1, shows=f"{people:,}")
    story.step("GET", JAPAN, hits=1, loads=0)
    print("    The transaction was committed, and Japan stayed.")

    story.chapter("5. One UPDATE for all cities of France, by the ORM; another one back, by Core.")
    for more, by in ((10, "orm"), (-10, "core")):
        form = {"more": more, "by": by}
        story.step("POST", f"{FRANCE}/cities", form, expect=303, hits=0, loads=0)
        shows = f"{people:,}" if more < 0 else None
        story.step("GET", FRANCE, hits=0, loads=1, shows=shows)
        story.step("GET", JAPAN, hits=1, loads=0)
    print("    No object was loaded; its WHERE says which country it was.")


def tell_of_ramps(story, people):
    """Who may turn them on the control page, and what that does."""
    story.chapter("6. Ada logs in, and ramps country pages down to 0 % and up again.")
    story.step("GET", CONTROL, expect=302)
    story.step("POST", "/login", {"name": "bob", "password": "bob"}, expect=303)
    story.step("GET", CONTROL, shows="What holds")
    story.step("POST", CHANGE, ramp_to(0), expect=403)
    print("    Nobody was sent to the login; Bob may look, and change nothing.")
    story.step("POST", "/login", {"name": "ada", "password": "ada"}, expect=303)
    story.step("POST", CHANGE, ramp_to(0, story.browser), expect=303)
    story.step("GET", FRANCE, hits=0, loads=1, shows=f"{people:,}")
    story.step("GET", FRANCE, hits=0, loads=1, shows=f"{people:,}")
    story.step("POST", CHANGE, ramp_to("", story.browser), expect=303)
    story.step("GET", FRANCE, hits=0, loads=1, shows=f"{people:,}")
    story.step("GET", FRANCE, hits=1, loads=0, shows=f"{people:,}")
    story.step("GET", CONTROL, shows="<td>ada</td>")
    print("    It takes effect on the next request; what was cached before does not come back.")


def ramp_to(percent, browser=None):
    """The form of the control page, with what it carries unseen where somebody was shown it."""
    form = {"name": REPORT, "ramp_local": percent, "ramp_remote": percent, "why": "for the demo"}
    page = browser.send("GET", CONTROL)[1] if browser else ""
    hidden = {
        name: page.partition(f'name="{name}" value="')[2].partition('"')[0]
        for name in ("cache_core_token", "revision")
    }
    return {**form, **hidden}


def people_on(browser, path):
    """The number of people that a page shows."""
    page = browser.send("GET", path)[1]
    return int(page.partition('id="people">')[2].partition("<")[0].replace(",", ""))


def serve(app, port):
    """A server for *app* in the background; takes any port where the wanted one is taken."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    try:
        server = make_server("127.0.0.1", port, app, threaded=True)
    except (OSError, SystemExit):
        server = make_server("127.0.0.1", 0, app, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--once", action="store_true", help="end after the narrated run")
    parser.add_argument("--port", type=int, default=5000, help="where to serve (default: 5000)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="for the database")
    options = parser.parse_args()
    database = options.folder.resolve() / "flask_catalog.sqlite3"
    if not database.exists():
        print("Filling a SQLite database with 34,000 cities and their 350,000 names ...")
    ensure_database(database)
    app = create_app(database)
    server = serve(app, 0 if options.once else options.port)
    browser = Browser(server.port)
    failures = tell(browser)
    if failures:
        print(f"\n{failures} claims above did not hold.")
    elif not options.once:
        print(f"\nServing. Ctrl-C ends it.\n    http://127.0.0.1:{server.port}/        the world")
        for path, what in (
            (PARIS, "a city, with the form"),
            ("/_cache/", "the control page; log in as ada"),
        ):
            print(f"    http://127.0.0.1:{server.port}{path}  {what}")
        wait()
    browser.close()
    server.shutdown()
    server.server_close()
    with app.app_context():
        db.engine.dispose()
    return 1 if failures else 0


def wait():
    try:
        Event().wait()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
