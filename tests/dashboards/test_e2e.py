"""Every screen in a browser, on a recorded run and on a live one, pixel by pixel."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from ganwatch.core.readings import Readings, Run
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import queries
from ganwatch.store.database import open_store

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("dashboards")]
expect.set_options(timeout=30_000)
SCREENS = ("Overview", "Curves", "Incidents", "Gallery", "Provenance")


def settled(page: Page) -> None:
    """The script has drawn the screen to its end and left no error on it."""
    expect(page.get_by_test_id("stMainBlockContainer")).to_be_visible()
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentWarning")).to_have_count(0)
    expect(page.get_by_test_id("stAlertContentError")).to_have_count(0)


def go(page: Page, screen: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=screen, exact=True).click()
    expect(page).to_have_url(re.compile("/$" if screen == "Overview" else f"/{screen.lower()}"))
    settled(page)


def received(page: Page, image: Locator) -> np.ndarray:
    """The pixels of the file that the browser got."""
    expect(image).to_have_js_property("complete", value=True)
    answer = page.request.get(str(image.evaluate("image => image.currentSrc")))
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.body())))


def painted(image: Locator) -> np.ndarray:
    """The pixels on the screen."""
    image.scroll_into_view_if_needed()
    box = image.evaluate("image => { const box = image.getBoundingClientRect(); return [box.x % 1, box.y % 1, box.width, box.height] }")
    shown = np.asarray(Image.open(io.BytesIO(image.screenshot())).convert("RGB"))
    return shown[round(box[1]) :, round(box[0]) :][: int(box[3]), : int(box[2])]


def tiles_of(pixels: np.ndarray, artifact: queries.ArtifactRecord, factor: int, gap: int) -> np.ndarray:
    """The samples cut out of an enlarged sheet; each must be an exact enlargement."""
    count, height, width, channels = artifact.shape
    columns = (pixels.shape[1] + gap) // (width * factor + gap)
    found = np.empty(artifact.shape, np.uint8)
    for place in range(count):
        top, left = place // columns * (height * factor + gap), place % columns * (width * factor + gap)
        tile = pixels[top : top + height * factor, left : left + width * factor]
        found[place] = tile[::factor, ::factor, :channels]
        np.testing.assert_array_equal(tile, found[place].repeat(factor, 0).repeat(factor, 1).repeat(3 // channels, 2))
    return found


def stored(store: Path, artifact: queries.ArtifactRecord) -> np.ndarray:
    """The samples straight from the PNG file."""
    count, height, width, channels = artifact.shape
    sheet = np.asarray(Image.open(store / "artifacts" / artifact.path)).reshape(-1, artifact.columns * width, channels)
    places = [(place // artifact.columns * height, place % artifact.columns * width) for place in range(count)]
    return np.stack([sheet[top : top + height, left : left + width] for top, left in places])


def test_every_screen_of_a_recorded_run(dashboard: str, page: Page, recorded: Path) -> None:
    with open_store(recorded, create=False) as store:
        broken, healthy = queries.runs(store)
        [incident] = queries.incidents(store, broken.id, open_only=True)[:1]
    page.goto(dashboard)
    settled(page)
    main = page.get_by_test_id("stMainBlockContainer")
    expect(main.get_by_text(f"{incident.code} {incident.title}").first).to_be_visible()
    expect(main.get_by_role("link", name=f"{healthy.name} · {healthy.id[:8]}")).to_be_visible()
    main.get_by_role("link", name="Evidence").first.click()
    expect(page).to_have_url(re.compile(rf"/incidents\?run={broken.id}&incident={incident.id}"))
    settled(page)
    assert incident.evidence is not None
    expect(main.get_by_text(incident.evidence.explanation)).to_be_visible()
    expect(main.get_by_text("open at the end", exact=True)).to_be_visible()
    threshold = main.get_by_test_id("stMetric").filter(has_text="threshold")
    expect(threshold).to_have_count(int(np.isfinite(incident.evidence.value)))
    expect(main.locator("img[alt^='pinned samples']").first).to_be_visible()
    main.get_by_text("Runbook", exact=True).click()
    expect(main.get_by_text("Mitigation")).to_be_visible()
    for screen in SCREENS:
        go(page, screen)
    go(page, "Curves")
    expect(main.get_by_role("heading", name="digits_too_fast")).to_be_visible()  # the choice stays from screen to screen
    expect(page.get_by_role("combobox", name="Run")).to_have_value(f"{broken.id[:6]} {broken.name}")
    expect(main.get_by_test_id("stVegaLiteChart").locator("canvas, svg").first).to_be_visible()
    for group in ("Training", "Data", "Resources"):
        main.get_by_role("button", name=group, exact=True).click()
        expect(main.get_by_role("heading", name=group)).to_be_visible()
    main.get_by_text("Layer by layer").click()
    settled(page)
    go(page, "Gallery")
    for view in ("Compare", "Pinned to incidents", "Through time"):
        main.get_by_role("radio", name=view, exact=True).click()
        settled(page)
        expect(main.locator("img[alt*=' samples of step ']").first).to_be_visible()


def test_pixels_shown_are_pixels_stored(dashboard: str, page: Page, recorded: Path) -> None:
    with open_store(recorded, create=False) as store:
        run = queries.find_run(store, "digits")
        grids, real = queries.artifacts(store, run.id, "fixed"), queries.artifacts(store, run.id, "real")
    page.goto(f"{dashboard}/gallery?run={run.id}")
    settled(page)
    assert [grid.step for grid in grids] == [1, 100]
    for artifact, place, factor in ((grids[1], 0, 9), (real[0], 0, 9), (grids[1], 1, 4), (grids[0], 0, 4)):
        image = page.get_by_alt_text(f"{artifact.kind} samples of step {artifact.step}", exact=True).nth(place)
        file = received(page, image)
        size = image.evaluate("image => [image.clientHeight, image.clientWidth]")
        assert tuple(size) == file.shape[:2]  # the browser does not scale
        expected = stored(recorded, artifact)
        np.testing.assert_array_equal(tiles_of(file, artifact, factor, 2), expected)
        np.testing.assert_array_equal(painted(image), file)
    assert expected.std() > 10  # something is to be seen


def test_a_live_run_moves_on_the_screen(dashboard: str, page: Page, recorded: Path) -> None:
    """A second attempt at a recorded run, which is over again at the end, for the sake of the other tests."""
    sink = SqlSink(recorded)
    run = queries.find_run(sink.store, "digits")
    values = {name: value for name, (_, value) in queries.last_values(sink.store, run.id).items()}
    attempt, step = run.attempts + 1, run.last_step or 0
    sink.start(Run(run.id, run.name, attempt))
    try:
        sink.readings([Readings(step + 1, values, attempt)])
        page.goto(dashboard)
        settled(page)
        main = page.get_by_test_id("stMainBlockContainer")
        expect(main.get_by_text("running")).to_be_visible()
        main.get_by_role("link", name=f"{run.name} · {run.id[:8]}").click()
        expect(main.get_by_text(f"· step {step + 1} ·")).to_be_visible()
        sink.readings([Readings(step + 2, values, attempt)])
        expect(main.get_by_text(f"· step {step + 2} ·")).to_be_visible()
        for screen in SCREENS:
            go(page, screen)
    finally:
        sink.finish("finished")
        sink.close()


@pytest.mark.parametrize("screen", ["", "curves"])
def test_runs_appear_when_a_training_creates_the_store(start: Callable[..., Any], page: Page, tmp_path: Path, screen: str) -> None:
    with start(tmp_path / "runs") as (base, _):
        page.goto(f"{base}/{screen}")
        expect(page.get_by_text("No runs yet.")).to_be_visible()
        assert not list(tmp_path.iterdir())
        sink = SqlSink(tmp_path / "runs")
        sink.start(Run("first", "first_training"))
        sink.readings([Readings(1, {"loss/g": 0.5, "loss/d": 0.5})])
        expect(page.get_by_test_id("stMainBlockContainer").get_by_text("first_training").first).to_be_visible()
        expect(page.get_by_text("No runs yet.")).to_have_count(0)
        sink.close()
        settled(page)
