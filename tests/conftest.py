"""Fixtures of all tests. Properties are checked without a deadline, as the time of an example says nothing on a busy machine."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--force-color-profile=srgb",
)  # fmt: skip

settings.register_profile("untimed", deadline=None, print_blob=True)
settings.load_profile("untimed")


@pytest.fixture
def older_objects_hidden() -> Iterator[None]:
    """Hide objects that are older than the test from the search for random generators, which would visit half a million of them.

    Reading data searches; most tests do not check what is found. Generators that a test makes are found as ever.
    """
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium, one a process, as Playwright allows no second one."""
    from playwright.sync_api import sync_playwright

    paths = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
    path = next(filter(None, paths), None)
    if path is None:
        pytest.fail("these tests need Chromium: apt-get install chromium, or leave them out with -m 'not service'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM)
        try:
            yield browser
        finally:
            browser.close()
