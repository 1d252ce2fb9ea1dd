"""A recorded store, a server on it, and a page of a browser."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

SECONDS = 120.0
"""Time after which waiting is a failure."""
HEALTH_CHECKS = 1200
"""Number of times that a server is asked if it answers, a tenth of a second apart."""
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


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a run that went well and one that blew up, both trained on real digits."""
    store = tmp_path_factory.mktemp("recorded") / "runs"
    runs = [("digits", 110, {}), ("digits_too_fast", 110, FAULT)]
    subprocess.run([sys.executable, "-c", TRAINING, str(store), repr(runs)], check=True)
    return store


Start = Callable[..., AbstractContextManager[tuple[str, subprocess.Popen[str]]]]
"""Starts ``ganwatch dashboard`` on a store with further options; gives its address and its process, and ends it."""


@pytest.fixture(scope="session")
def start() -> Start:
    return _start


@pytest.fixture(scope="session")
def dashboard(recorded: Path) -> Iterator[str]:
    """``ganwatch dashboard`` on the recorded store; its address."""
    with _start(recorded) as (base, _):
        yield base


@contextmanager
def _start(store: Path, *options: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "ganwatch.cli", "dashboard", "--store", str(store), "--port", "0", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, **pipes, text=True, env=os.environ | environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            base = next((word for word in line.split() if word.startswith("http://127.0.0.1:")), None)
            assert base, f"no address in {line + (process.stdout.read() if process.poll() is not None else '')!r}"
            for _ in range(HEALTH_CHECKS):
                if _healthy(base):
                    break
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.1)
                    pytest.fail(f"the dashboard ended: {process.stdout.read()}")
            else:
                pytest.fail(f"the dashboard does not answer at {base}")
            yield base, process
        finally:
            process.terminate()
            process.wait(SECONDS)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, 1280 pixels wide, that fails the test if it asks anybody but the dashboard, or breaks the policy of the page."""
    with browser.new_context(viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        hosts: set[str] = set()
        errors: list[str] = []
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        yield page
        assert hosts <= {"127.0.0.1", ""}
        assert not [text for text in errors if "Content Security Policy" in text]


def _healthy(base: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base}/_stcore/health", timeout=5) as answer:  # noqa: S310  # our own address
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


os.environ.setdefault("OMP_NUM_THREADS", "1")
