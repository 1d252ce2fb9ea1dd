"""A recorded store, a server on it, and a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, sync_playwright

PATIENCE = 120.0
"""Seconds after which waiting is a failure."""
TRAINING = """
import sys
import lightning
from ganwatch.session.lightning import GanWatch
from ganwatch.trainer.data import GANData
from ganwatch.trainer.module import GAN
from ganwatch.trainer.run import fit
for name, steps, options in eval(sys.argv[2]):
    lightning.seed_everything(0, verbose=False)
    watch = GanWatch(store=sys.argv[1], name=name)
    fit(GAN(channels=4, **options), GANData(batch_size=32), steps=steps, seed=0, threads=1, callbacks=[watch])
"""
FAULT = {"g_lr": 3.0, "d_lr": 3.0, "optimizer": "sgd", "g_norm": "none"}
"""Learning rates that blow up within a few steps."""
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--force-color-profile=srgb",
)  # fmt: skip


def _training(store: Path, *runs: tuple[str, int, dict[str, object]]) -> list[str]:
    """The command that trains on real digits into a store: runs by name, steps and options of the GAN."""
    return [sys.executable, "-c", TRAINING, str(store), repr(runs)]


def _until(condition: Callable[[], bool], what: str) -> None:
    """Ask again and again, for a bounded time."""
    tick, deadline = threading.Event(), time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE:.0f} s in vain: {what}")
        tick.wait(0.1)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that went well and one that blew up, both trained on real digits."""
    store = tmp_path_factory.mktemp("recorded") / "runs"
    subprocess.run(_training(store, ("digits", 110, {}), ("digits_too_fast", 110, FAULT)), check=True)
    return store


@contextmanager
def _served(store: Path) -> Iterator[str]:
    """``ganwatch dashboard`` on a store; its address."""
    command = [sys.executable, "-m", "ganwatch.cli", "dashboard", "--store", str(store), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            base = next((word for word in line.split() if word.startswith("http://127.0.0.1:")), None)
            assert base, f"no address in {line + (process.stdout.read() if process.poll() is not None else '')!r}"
            _until(lambda: _healthy(base) or process.poll() is not None, f"the dashboard answers at {base}")
            assert process.poll() is None, process.stdout.read()
            yield base
        finally:
            process.terminate()
            process.wait(PATIENCE)


@pytest.fixture
def served() -> Callable[[Path], AbstractContextManager[str]]:
    return _served


@pytest.fixture
def training() -> Callable[..., list[str]]:
    return _training


@pytest.fixture
def until() -> Callable[[Callable[[], bool], str], None]:
    return _until


@pytest.fixture(scope="session")
def dashboard(recorded: Path) -> Iterator[str]:
    with _served(recorded) as base:
        yield base


@pytest.fixture
def page() -> Iterator[Page]:
    """A page of a real Chromium, 1280 pixels wide, that fails the test if it asks anybody but the dashboard."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            page.set_default_timeout(PATIENCE * 1000)
            asked: set[str] = set()
            page.on("request", lambda request: asked.add(urlsplit(request.url).hostname or ""))
            yield page
            assert asked <= {"127.0.0.1", ""}
        finally:
            browser.close()


def find_chromium() -> str:
    """The browser of the system; without one the test fails, as it would show nothing otherwise."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.fail("these tests need Chromium: apt-get install chromium, or leave them out with -m 'not service'")


def _healthy(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/_stcore/health", timeout=5) as answer:  # noqa: S310  # our own address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


os.environ.setdefault("OMP_NUM_THREADS", "1")
