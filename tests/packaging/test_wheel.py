"""The wheel carries what a checkout has beside the package, and works where there is no checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import ganwatch
from ganwatch.core.package_data import packaged_folder

pytestmark = pytest.mark.xdist_group("wheel")  # one worker builds what they share

CHECKOUT = Path(ganwatch.__file__).parent.parent
SITE = Path(pytest.__file__).parent.parent
PROBE = """
import sys
from pathlib import Path
import ganwatch, ganwatch.dashboards.navigation
from ganwatch.core.package_data import packaged_folder
from ganwatch.store.database import open_store
places = [ganwatch.__file__, ganwatch.dashboards.navigation.__file__, packaged_folder("alerts"), packaged_folder("dashboards")]
assert all(Path(place).is_relative_to(sys.prefix) for place in places), places
assert list((packaged_folder("alerts") / "runbooks").glob("GW*.md"))
open_store("runs").close()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built offline from a copy, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("source")
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in filter(lambda name: (CHECKOUT / name).is_file(), listing.stdout.splitlines()):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((CHECKOUT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-q", "-w", out, copy]
    subprocess.run(command, check=True, cwd=out)
    [built] = out.glob("*.whl")
    return built


def test_every_folder_with_code_is_listed_as_a_package() -> None:
    listed = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.relative_to(CHECKOUT).parts) for path in (CHECKOUT / "ganwatch").rglob("*.py")}
    assert sorted(listed) == sorted(folders | {"ganwatch.alerts", "ganwatch.alerts.runbooks", "ganwatch.dashboards"})


def test_folders_are_found_in_the_checkout() -> None:
    assert packaged_folder("dashboards").joinpath("app.py").is_file()
    assert packaged_folder("alerts").joinpath("ganwatch.rules.yml").is_file()


def test_wheel_carries_screens_alerts_migrations_and_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {"ganwatch/py.typed", "ganwatch/store/migrations/script.py.mako"}
    expected |= {"ganwatch/alerts/ganwatch.rules.yml", "ganwatch/alerts/alertmanager.yml"}
    expected |= {f"ganwatch/alerts/runbooks/{page.name}" for page in (CHECKOUT / "alerts" / "runbooks").glob("*.md")}
    expected |= {f"ganwatch/dashboards/{module.name}" for module in (CHECKOUT / "dashboards").glob("*.py")}
    expected |= {str(module.relative_to(CHECKOUT)) for module in (CHECKOUT / "ganwatch").rglob("*.py")}
    assert expected <= names
    assert not [name for name in names if not name.startswith(("ganwatch/", "ganwatch-"))]


@pytest.mark.slow
def test_installed_wheel_works_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    """In a clean environment that borrows the dependencies of this one, but not its ganwatch."""
    venv.create(tmp_path / "clean", symlinks=True)
    python = tmp_path / "clean" / "bin" / "python"
    [site] = (tmp_path / "clean" / "lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "-q", wheel]
    subprocess.run(install, check=True)
    (site / "borrowed.pth").write_text(f"{SITE}\n")  # a plain path: the .pth files inside it, the editable one among them, are not run
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([python, "-c", PROBE], check=True, cwd=tmp_path, env=environment)
    command = [python.parent / "ganwatch", "--help"]
    shown = subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "dashboard" in shown.stdout
