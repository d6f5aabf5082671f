"""The demo: loads the data, serves the atlas, visits it over HTTP and tells what happens.

    python demo.py            the narrated run, then the site goes on until Ctrl-C
    python demo.py --once     the narrated run only

PORT chooses the port, CACHE_CORE_REDIS_URL a Redis. The exit code is 1 when a step did not show
what it says.
"""

from __future__ import annotations

import os
import sys
from threading import Event, Thread

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
django.setup()

from atlas.loading import SMALLEST, load  # noqa: E402
from atlas.models import City, Country  # noqa: E402
from client import Browser  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.staticfiles.handlers import StaticFilesHandler  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connections, transaction  # noqa: E402

from django_ext import cache  # noqa: E402

NAME = PASSWORD = "admin"
PARIS = 2988507
NEIGHBOUR = 6269531
"""Another city, with Paris among its nearest."""

CONTROL = "/admin/cache_core_django/usecaseoverride/"
"""Where use cases are ramped up and switched off."""

RAMPS = f"{CONTROL}Nearest/change/"


class Story:
    """Tells what is done, shows each request, and keeps account of what was not as promised."""

    def __init__(self, browser):
        self.browser = browser
        self.broken = 0

    def chapter(self, title):
        print(f"\n{title}")

    def visit(self, path, promise, check):
        """Requests a page and shows its figures; *check* tells whether the promise was kept."""
        page = self.browser.get(path)
        figures = (
            f"{page.milliseconds:8.1f} ms  {page.loads:2} loaded  {page.hits:2} from the cache"
        )
        self.tell(f"GET {path:<16}{figures}", promise, page.status == 200 and check(page))
        return page

    def tell(self, what, promise, kept):
        self.broken += not kept
        print(f"  {what}   {promise}{'' if kept else '   <-- NOT SO'}")


def prepare():
    """Makes the tables, loads the data, sets up the admin's user."""
    call_command("migrate", verbosity=0)
    if not Country.objects.exists():
        print(f"Loading every country and every city of {SMALLEST} people or more ...")
        load()
    user, _ = User.objects.get_or_create(username=NAME, is_staff=True, is_superuser=True)
    user.set_password(PASSWORD)
    user.save()
    City.objects.filter(pk=PARIS).update(name="Paris")  # should an earlier run have been cut short
    cache.control.reset("Nearest")
    cache.flush()  # so that the story begins with an empty cache, also on a Redis
    where = "a Redis and this process" if settings.CACHE_CORE["REDIS"] else "this process"
    print(f"{City.objects.count()} cities in {settings.DATABASES['default']['NAME']}")
    print(f"cached in the memory of {where}")


class QuietHandler(WSGIRequestHandler):
    """The story shows the requests already."""

    def log_message(self, *_):
        pass


def serve():
    """A server with a thread for each request, on PORT or on any free port."""
    server = ThreadedWSGIServer(("127.0.0.1", int(os.environ.get("PORT") or 0)), QuietHandler)
    server.daemon_threads = True
    server.set_app(StaticFilesHandler(get_wsgi_application()))
    Thread(target=server.serve_forever, daemon=True).start()
    return server


def tell_of_reading(story):
    story.chapter("1. Reading. The second request for a page is served from the cache.")
    for path in ("/", "/country/FR/", f"/city/{PARIS}/", "/search/?q=burg"):
        cold = story.visit(path, "cold", lambda page: page.loads)
        warm = story.visit(path, "warm", lambda page: page.hits and not page.loads)
        story.tell(
            f"{'':58}",
            f"{cold.milliseconds / warm.milliseconds:.0f} times as fast",
            warm.milliseconds < cold.milliseconds,
        )


def tell_of_the_admin(story):
    story.chapter("2. Saving in the admin. Whatever shows the city is fresh at the next request.")
    story.visit("/country/DE/", "to compare with later", lambda page: page.loads == 1)
    story.browser.submit("/admin/login/", username=NAME, password=PASSWORD)
    saved = story.browser.submit(f"/admin/atlas/city/{PARIS}/change/", name="Lutetia")
    story.tell(
        f"POST /admin/atlas/city/{PARIS}/change/ {saved.milliseconds:8.1f} ms",
        "Paris is renamed to Lutetia",
        "was changed successfully" in saved.text,
    )
    for path in (f"/city/{PARIS}/", "/country/FR/"):
        story.visit(path, "fresh", lambda page: page.loads and "Lutetia" in page.text)
        story.visit(path, "warm again", lambda page: not page.loads and "Lutetia" in page.text)
    story.visit(f"/city/{NEIGHBOUR}/", "a neighbour's page", lambda page: "Lutetia" in page.text)
    story.visit("/country/DE/", "not concerned, still cached", lambda page: not page.loads)


def tell_of_transactions(story):
    story.chapter("3. Saving with the ORM, in a transaction. Requests see it once it is committed.")
    path = f"/city/{PARIS}/"
    with transaction.atomic():
        city = City.objects.get(pk=PARIS)
        city.name = "Paris"
        city.save()
        story.visit(
            path,
            "saved, not committed: still Lutetia, cached",
            lambda page: not page.loads and "Lutetia" in page.text,
        )
    story.visit(
        path, "committed: Paris again", lambda page: page.loads and "Lutetia" not in page.text
    )


def tell_of_ramps(story):
    story.chapter(
        "4. Ramping one use case in the admin, while the site runs. 20 cities, twice each."
    )
    largest = City.objects.order_by("-population").values_list("id", flat=True)[:20]
    pages = [f"/city/{city}/" for city in largest]
    for ramp, promise, kept in (
        (0, "off: never cached", lambda ratio: ratio == 0),
        (50, "on for about half of the cities, always the same", lambda ratio: 20 <= ratio <= 80),
        (100, "on for all", lambda ratio: ratio == 100),
    ):
        story.browser.submit(RAMPS, ramp_local=ramp, ramp_remote=ramp, why="the demo shows ramps")
        visit_all(story, pages)
        hits, loads, milliseconds = visit_all(story, pages)
        ratio = 100 * hits / (hits + loads)
        figures = f"{milliseconds:8.1f} ms  {loads:2} loaded  {hits:2} from the cache"
        story.tell(f"Nearest, ramp {ramp:>3} %  {figures}  = {ratio:3.0f} %", promise, kept(ratio))
    story.browser.submit(RAMPS, ramp_local="", ramp_remote="", why="the demo is over")


def visit_all(story, pages):
    """Hits and loads of the use case Nearest in one round, and the average time of a page."""
    before = cache.stats()["use_cases"]["Nearest"]
    times = [story.browser.get(page).milliseconds for page in pages]
    after = cache.stats()["use_cases"]["Nearest"]
    hits = sum(after["hits"].values()) - sum(before["hits"].values())
    return hits, after["loads"] - before["loads"], sum(times) / len(times)


def tell_the_figures(story):
    story.chapter("What the cache counted")
    for name, figures in cache.stats()["use_cases"].items():
        hits = sum(figures["hits"].values())
        print(
            f"  {name:<8} {figures['requests']:5} requests  {hits:5} hits  {figures['loads']:4} loads"
            f"  {figures['load_seconds'] * 1000:8.1f} ms of loading"
        )


def tell(browser):
    """The whole story; returns how often a promise was not kept."""
    story = Story(browser)
    tell_of_reading(story)
    tell_of_the_admin(story)
    tell_of_transactions(story)
    tell_of_ramps(story)
    tell_the_figures(story)
    verdict = (
        f"{story.broken} steps did not show what they say." if story.broken else "All as said."
    )
    print(f"\n{verdict}")
    return story.broken


def invite(site):
    print(f"""
The atlas goes on serving. Try, and watch the box on the right of each page:
  {site}/                       the world
  {site}/city/{PARIS}/          a city; reload it, edit it in the admin, reload it again
  {site}/search/?q=Wien         a search in all languages
  {site}/admin/                 log in as {NAME!r} with the password {PASSWORD!r}
  {site}{CONTROL}  how the use cases go; switch one off
Ctrl-C ends it.""")
    Event().wait()


def main():
    sys.stdout.reconfigure(line_buffering=True)
    prepare()
    server = serve()
    site = f"http://127.0.0.1:{server.server_port}"
    broken = 0
    try:
        broken = tell(Browser(site))
        if "--once" not in sys.argv[1:]:
            invite(site)
    except KeyboardInterrupt:
        print("\nThe atlas is closed.")
    finally:
        server.shutdown()
        server.server_close()
        cache.close()
        connections.close_all()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
