"""The wheel works outside of this repository, on every supported Python, with no extras and with all.

Every environment is made once, all of them at a time, while the first tests already run. The one
without extras is made without an index, so a dependency that slipped in shows at once.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.packaging.pythons import find_pythons

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PACKED = (
    "cache_core",
    "django_ext",
    "flask_ext",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "CHANGELOG.md",
)
PYTHONS = find_pythons()
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


def run(*command: object, cwd: Path | None = None) -> str:
    """What the command prints; fails the test with all of it when the command fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}", pytrace=False)
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the source distribution, built from a copy of the tree."""
    folder = tmp_path_factory.mktemp("build")
    copy = folder / "copy"
    copy.mkdir()
    for name in PACKED:
        place = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        place(ROOT / name, copy / name)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copy)
    (built,) = folder.glob("*.whl")
    return built


def make_environment(python: str, folder: Path, *install: object) -> Path:
    """A new environment of *python* with what *install* says; returns its interpreter."""
    run(python, "-m", "venv", "--without-pip", folder)
    inside = folder / "bin" / "python"
    # What is not imported need not be compiled; that is half of the work.
    run(*PIP, "--python", inside, "install", "--quiet", "--no-compile", *install)
    return inside


@pytest.fixture(scope="module")
def environments(wheel, tmp_path_factory):
    """For each (version, extras) the promise of an interpreter that has the wheel."""
    folder = tmp_path_factory.mktemp("environments")
    with ThreadPoolExecutor(max_workers=4) as pool:
        bare = {
            (version, "none"): pool.submit(
                make_environment, python, folder / f"{version}-none", "--no-index", wheel
            )
            for version, python in PYTHONS.items()
        }
        full = {
            (version, "all"): pool.submit(
                make_environment, python, folder / f"{version}-all", f"{wheel}[all]"
            )
            for version, python in PYTHONS.items()
        }
        yield bare | full


@pytest.fixture(params=PYTHONS)
def bare(request, environments):
    """An interpreter that has the wheel without extras."""
    return environments[request.param, "none"].result()


@pytest.fixture(params=PYTHONS)
def full(request, environments):
    """An interpreter that has the wheel with all extras."""
    return environments[request.param, "all"].result()


def script(python: Path, name: str, folder: Path) -> str:
    """Runs a script of this folder, isolated from the tree, warnings being errors."""
    return run(python, "-W", "error", "-I", HERE / name, cwd=folder)


def test_the_wheel_holds_the_packages_and_nothing_else(wheel):
    """The wheel has the three packages, typed, with the licence, and no tests or examples."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"cache_core", "django_ext", "flask_ext", "cache_core-0.1.0.dist-info"}
    assert {f"{package}/py.typed" for package in ("cache_core", "django_ext", "flask_ext")} <= set(
        names
    )
    assert "cache_core-0.1.0.dist-info/licenses/LICENSE" in names


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    """No module, template or script of the packages is left out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    present = {
        str(path.relative_to(ROOT))
        for package in ("cache_core", "django_ext", "flask_ext")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert present <= packed


def test_the_core_imports_the_standard_library_only(bare, tmp_path):
    """Without extras, importing the core works and loads nothing that is not Python's own."""
    assert script(bare, "import_core.py", tmp_path) == "third-party modules: none\n"


def test_the_core_works_without_extras(bare, tmp_path):
    """Without extras, caching in process memory and invalidation work."""
    assert script(bare, "smoke_core.py", tmp_path) == "ok\n"


def test_redis_without_its_extra_says_what_to_install(bare, tmp_path):
    """Without the extra, asking for Redis raises MissingExtra with the name of the extra."""
    assert "pip install 'cache-core[redis]'" in script(bare, "ask_for_redis.py", tmp_path)


def test_importing_the_core_leaves_installed_extras_alone(full, tmp_path):
    """With every extra installed, importing the core still loads none of them."""
    assert script(full, "import_core.py", tmp_path) == "third-party modules: none\n"


@pytest.mark.parametrize("name", ["smoke_core.py", "smoke_django.py", "smoke_flask.py"])
def test_everything_works_with_all_extras(full, name, tmp_path):
    """With all extras, the core caches and invalidates, and both adapters start."""
    assert script(full, name, tmp_path) == "ok\n"
