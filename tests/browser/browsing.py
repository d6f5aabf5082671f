"""A headless Chromium, and the web servers that it looks at; Django and Flask are not known here.

Nothing is downloaded: browser and driver are those of the system (``tests/tools/servers.sh chromium``).
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.servers import DEADLINE, HOST, free_port, leave

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DRIVERS = ("chromedriver",)
WIDTH, HEIGHT = 1280, 900
COMPLETE = "return document.readyState === 'complete'"
ADVICE = (
    "There is no Chromium with its driver: run tests/tools/servers.sh chromium, or install "
    "the packages chromium and chromium-driver."
)


def require_chromium():
    """The paths of browser and driver; skips where there are none, fails where ``CI=true``."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = next(filter(None, map(shutil.which, DRIVERS)), None)
    if browser and driver:
        return browser, driver
    return leave(ADVICE)


def start_chromium(folder):
    """A headless Chromium that keeps what it must in *folder*; ``quit()`` ends it."""
    browser, driver = require_chromium()
    options = Options()
    options.binary_location = browser
    for argument in (
        "--headless=new",
        "--no-sandbox",  # it refuses to be started by root with one
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--force-device-scale-factor=1",
        f"--user-data-dir={folder}",
        f"--window-size={WIDTH},{HEIGHT}",
        # It asks its maker for nothing while it is tested.
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(executable_path=driver))


class Page:
    """What a person does with a browser; elements are named by their CSS selectors.

    Args:
        driver: The browser.

    Attributes:
        driver: The browser, for what has no method here.
    """

    def __init__(self, driver):
        self.driver = driver

    def open(self, url):
        """Goes to *url*."""
        self.driver.get(url)

    @property
    def text(self):
        """What can be read on the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    @property
    def url(self):
        """Where it is."""
        return self.driver.current_url

    def all(self, selector):
        """All elements that fit."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        """The element that fits; there must be exactly one."""
        found = self.all(selector)
        assert len(found) == 1, (
            f"{len(found)} elements fit {selector!r} on {self.url}:\n{self.text}"
        )
        return found[0]

    def has(self, selector):
        """Whether there is such an element."""
        return bool(self.all(selector))

    def fill(self, selector, value):
        """Types *value* into a field in place of what it holds."""
        field = self.one(selector)
        field.clear()
        field.send_keys(str(value))

    def choose(self, selector, value):
        """Chooses the option with this value in a list."""
        Select(self.one(selector)).select_by_value(value)

    def tick(self, selector):
        """Clicks on what opens no other page, such as a check box."""
        self.one(selector).click()

    def submit(self, selector):
        """Clicks on a button, and waits for the page that follows."""
        self._follow(self.one(selector))

    def press(self, label):
        """Presses the button, or follows the link, that reads *label*; waits for what follows."""
        named = f"normalize-space()='{label}' or (@type='submit' and @value='{label}')"
        found = self.driver.find_elements(
            By.XPATH, f"//*[self::a or self::button or self::input][{named}]"
        )
        assert found, f"nothing reads {label!r} on {self.url}:\n{self.text}"
        self._follow(found[0])

    def _follow(self, element):
        # A page that is about to be left is complete too, so the next document is waited for.
        old = self.driver.find_element(By.TAG_NAME, "html")
        element.click()
        self.until(lambda: self._shows_another(old))

    def _shows_another(self, old):
        try:
            is_another = self.driver.find_element(By.TAG_NAME, "html") != old
            return is_another and self.driver.execute_script(COMPLETE)
        except WebDriverException:  # between two documents there is none
            return False

    def until(self, condition, seconds=10):
        """Waits until *condition()* is true."""
        WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition())

    def color(self, selector, name="background-color"):
        """A colour that an element is shown in."""
        return self.one(selector).value_of_css_property(name)

    def prefer(self, scheme):
        """Says that the person likes the ``light`` or ``dark`` scheme."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def allow_scripts(self, allowed):
        """Whether pages may run JavaScript."""
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not allowed})

    def complaints(self):
        """What the browser wrote to its console since the last time: errors, also those of a CSP."""
        return [
            line["message"]
            for line in self.driver.get_log("browser")
            if line["level"] in {"SEVERE", "WARNING"} and "favicon" not in line["message"]
        ]

    def forget(self):
        """Is a new person: no cookies, the light scheme."""
        self.allow_scripts(True)
        self.prefer("light")
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.driver.get("about:blank")
        self.complaints()

    def picture(self, name, *, width=WIDTH, most=1400):
        """Keeps a picture of the page as ``docs/images/NAME.png``, where ``SCREENSHOTS`` is set.

        Args:
            name: Of the file, without its ending.
            width: That of the window, in pixels.
            most: The height at which it is cut off, in pixels.
        """
        if not os.environ.get("SCREENSHOTS"):
            return
        self._size(width, HEIGHT)
        full = self.driver.execute_script("return document.documentElement.scrollHeight")
        self._size(width, min(full, most))
        said = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        IMAGES.mkdir(exist_ok=True)
        (IMAGES / f"{name}.png").write_bytes(base64.b64decode(said["data"]))
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    def _size(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


class Site:
    """A web server in a process of its own, on a free port.

    Args:
        command: What is run; ``{port}`` in it is replaced. ``python`` at its beginning is this one.
        folder: Where it writes its log.
        env: Variables besides those of this process.
        cwd: Where it runs.

    Attributes:
        url: Its address, without a slash at the end.
    """

    def __init__(self, command, folder, env=None, cwd=ROOT):
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.log = Path(folder) / f"site-{port}.log"
        words = [word.replace("{port}", str(port)) for word in command]
        if words[0] == "python":
            words[0] = sys.executable
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                words,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def ready(self, path="/"):
        """Waits until it answers for *path*, and returns itself."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError):
                self.get(path)
                return self
            time.sleep(0.02)
        raise AssertionError(f"the site did not start:\n{self.log.read_text()[-3000:]}")

    def get(self, path):
        """What it answers, as text; raises ``OSError`` for a status that is none of success."""
        with urlopen(self.url + path, timeout=10) as response:
            return response.read().decode()

    def close(self):
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
