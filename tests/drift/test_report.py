"""The report opens in a real browser and names what moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, expect

from ganwatch.core.errors import UserError
from ganwatch.drift.columns import columns_of
from ganwatch.drift.report import write_report
from ganwatch.drift.verdict import decide


def images(low: int, high: int, kinds: int, count: int) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(low)
    return torch.from_numpy(rng.integers(low, high, size=(count, 3, 8, 8), dtype=np.uint8)), rng.integers(kinds, size=count)


@pytest.mark.service
def test_the_report_opens_in_a_browser_and_names_the_columns_that_moved(tmp_path: Path, browser: Browser) -> None:
    baseline, fresh = images(0, 160, 4, 300), images(60, 220, 3, 250)
    columns = columns_of(*baseline), columns_of(*fresh)
    found = decide(baseline[0].flatten(1), fresh[0].flatten(1), columns=columns)
    path = write_report(*columns, tmp_path / "shown" / "drift.html")
    assert {"brightness", "saturation", "label 3"} <= {column.name for column in found.changed_columns}
    with browser.new_context(viewport={"width": 1280, "height": 1000}) as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        urls: list[str] = []
        page.on("request", lambda request: urls.append(request.url))
        page.goto(path.as_uri())
        expected = {"brightness": "Detected", "saturation": "Detected", "label": "Detected", "sharpness": "Not Detected"}
        for name, drifted in expected.items():
            row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=name, exact=True))
            expect(row.get_by_role("cell", name=drifted, exact=True)).to_be_visible(timeout=60_000)
        assert not [url for url in urls if url.startswith("http")]


def test_a_report_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    columns = {"brightness": np.arange(9.0)}
    with pytest.raises(UserError, match="report must be a file that can be written"):
        write_report(columns, columns, tmp_path / "file" / "drift.html")
