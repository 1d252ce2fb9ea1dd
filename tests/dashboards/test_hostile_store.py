"""A store that somebody else made: whatever stands in it is text on every screen, and a malformed record is a message."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ganwatch.dashboards.escaping import plain_text
from playwright.sync_api import Page, expect
from sqlalchemy import JSON, Table
from sqlmodel import AutoString

from ganwatch.core.detector import Severity, Verdict
from ganwatch.core.incidents import Incident, State
from ganwatch.core.readings import Readings, Run, SampleImages
from ganwatch.sinks.sql import SqlSink
from ganwatch.store import tables
from ganwatch.store.audit_log import append_drift_check
from ganwatch.store.database import SQLITE_FILE

pytestmark = pytest.mark.xdist_group("dashboards")
EVIL = "evil.example"
TEXTS = (
    f"![i](http://{EVIL}/i)[l](http://{EVIL}) www.{EVIL} `a` :violet[zz] $a^2$ <b>z</b>\n# h\x1b[1m\u202e" + "x" * 10_000,
    f"`]** https://{EVIL} //{EVIL} x@{EVIL} :smile: :material/home: :streamlit: &lt; a -> b\n- <img src=//{EVIL}>" + "y" * 10_000,
)
NAMES = (
    "g_lr*2", "a**b**c", "# heading", "- item", "1. item", "> quote", "=====", "---", "a | b", "[x](y)", "![x](y)", "<br>", "&amp; &copy;",
    "`code`", ":red[x]", "::x", ":::x", ":+1:", ":smile:", ":material/home:", ":material_home:", ":streamlit:", "$x$", "$$x$$", "a -> b",
    "a <-> b", "--", "a >= b", "~~a~~", "www.a.example", "http://a.example/b_c", "a@b.example", "12:30:45", "C:\\new\\table", "ü 漢字 🙂",
    "[ ] task", "^1", "\\", "[^1]: note", "+ item", "2) item", "    code", "***", "| a |", "#", "a&b", "{x}", "!",
)  # fmt: skip
KEPT = {"artifact.kind", "artifact.path", "artifact.sha256", "audit.action", "evidence.state", "incident.severity", "incident.state"}
"""Columns whose values decide what is drawn at all."""
UNIQUE = {"cause", "id", "incident_id", "series", "signal"}
"""Columns and keys whose values tell records apart, so that these keep their ends."""
KEYS = {
    *("advice", "changed_columns", "class", "code", "configuration", "dataset", "detectors", "device", "effect", "explanation", "groups"),
    *("high", "label_shares", "low", "module", "optimizers", "origin", "packages", "report", "signal", "threshold", "value", "verdict"),
    *("window", "world", "onset"),
}
"""Keys by which the screens find something. All others become hostile too."""
FACTS = {"name": "n", "list": ["a", {"b": "c"}], "number": 0.5, "nothing": None}
PROVENANCE = FACTS | {
    **dict.fromkeys(("configuration", "packages", "device", "code", "detectors"), FACTS),
    "module": "m", "optimizers": {"g": {"class": "a.B", "groups": [FACTS, FACTS]}}, "dataset": FACTS | {"label_shares": {"seven": 0.5}},
}  # fmt: skip
DRIFT = {"verdict": "unchanged", "advice": "a", "changed_columns": ["c"] * 9, "world": {"low": 0.1, "high": 0.3, "effect": 0.2}}


def write_run(store: Path, run: str, name: str, provenance: dict[str, Any] = PROVENANCE) -> None:
    """A run with everything that a screen can show, open at its end."""
    sink = SqlSink(store)
    sink.start(Run(run, name, provenance=provenance))
    values = {"loss/g": 0.7, "loss/d": 0.5, "layer_grad/g.a": 0.1, "logged/fid": 9.0}
    sink.readings([Readings(step, values) for step in range(1, 20)])
    evidence = Verdict(0.5, 1.0, "loss/g", 3, "origin", "explanation")
    common = {"title": "collapse", "severity": Severity.PAGE, "state": State.FIRING, "evidence": evidence, "runbook": "GW101.md"}
    sink.incident(Incident("GW302-1", "GW302", onset=2, opened=3, likely_causes="causes", remedies="remedies", **common))
    sink.incident(Incident("GW101-1", "GW101", onset=4, opened=5, cause="GW302-1", **common))
    for kind, incident in (("fixed", None), ("real", None), ("pinned", "GW302-1"), ("missing", "GW101-1")):
        for step in (1, 9):
            sink.samples(SampleImages(step, kind, (4, 8, 8, 1), bytes(range(256)), incident))
    append_drift_check(sink.store, run, DRIFT, report="report.html")
    sink.finish("failed")
    sink.close()


def spoil(store: Path, run: str, text: str) -> None:
    """Replace every text of a run by a hostile one, the keys and texts of JSON too."""
    with closing(sqlite3.connect(store / SQLITE_FILE)) as connection, connection:
        for table in tables.Base.metadata.sorted_tables:
            owner = "run_id" if "run_id" in table.columns else {"run": "id", "audit": "subject"}.get(table.name)
            if owner is None:
                continue
            connection.row_factory = sqlite3.Row
            for row in connection.execute(f"SELECT rowid AS place, * FROM {table.name} WHERE {owner} = ?", (run,)).fetchall():  # noqa: S608
                spoilt = _spoilt(table, row, text) | {owner: text}
                places = ", ".join(f'"{column}" = ?' for column in spoilt)
                connection.execute(f"UPDATE {table.name} SET {places} WHERE rowid = ?", (*spoilt.values(), row["place"]))  # noqa: S608


def _spoilt(table: Table, row: sqlite3.Row, text: str) -> dict[str, str]:
    spoilt = {}
    for column in table.columns:
        value = row[column.name]
        if isinstance(column.type, JSON):
            spoilt[column.name] = json.dumps(_spoilt_json(json.loads(value), text))
        elif isinstance(column.type, AutoString) and value is not None and f"{table.name}.{column.name}" not in KEPT:
            spoilt[column.name] = text + value if column.name in UNIQUE else text
    return spoilt | ({"artifact_root": None} if table.name == "run" else {})


def _spoilt_json(value: Any, text: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {(name if name in KEYS else text + name): _spoilt_json(item, text, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_spoilt_json(item, text) for item in value]
    return (text + value if key in UNIQUE else text) if isinstance(value, str) else value


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("hostile") / "runs"
    for place, text in enumerate(TEXTS):
        write_run(store, f"run{place}", f"run{place}")
        spoil(store, f"run{place}", text)
    for place, name in enumerate(NAMES[:10]):
        write_run(store, f"name{place}", name, {name: name for name in NAMES})
    return store


def displayed(text: str) -> str:
    """What a page displays, without characters that have no width."""
    return re.sub(r"[\u2060\ufe0f]", "", text)


def check(page: Page) -> str:
    """The screen is drawn, and nothing on it is more than text."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning")
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    links = page.evaluate("[...document.querySelectorAll('a[href]')].filter(a => a.origin !== location.origin).map(a => a.href)")
    assert not links  # a link to a screen may have a hostile id in its query
    for selector in (f"img[src*='{EVIL}']", "[data-testid=stMarkdownContainer] b", ".katex"):
        expect(page.locator(selector)).to_have_count(0)
    expect(page.locator("span", has_text=re.compile("^zz$"))).to_have_count(0)
    expect(page.locator("img[alt='Streamlit logo']")).to_have_count(0)
    text = displayed(page.get_by_test_id("stApp").inner_text())
    assert not re.findall(r"\\[^xun\"\\].{9}", text)  # no backslash of the escaping is seen
    assert [one for one in "😄\u202e\x1b" if one in text] == []
    assert max(map(len, text.splitlines())) < 5_000
    return text


@pytest.mark.service
@pytest.mark.parametrize("place", range(len(TEXTS)))
def test_whatever_stands_in_a_store_is_text_on_every_screen(start: Callable[..., Any], page: Page, hostile: Path, place: int) -> None:
    address = quote(TEXTS[place], safe="")
    beginning = plain_text(TEXTS[place])[:80]
    with start(hostile) as (base, process):
        page.goto(base)
        expect(page.get_by_text("Runs", exact=True)).to_be_visible()
        assert beginning[:40] in check(page)
        for screen in ("curves", "incidents", "gallery", "provenance"):
            page.goto(f"{base}/{screen}?run={address}")
            expect(page.get_by_test_id("stHeading").first).to_be_visible()
            main = page.get_by_test_id("stMainBlockContainer")
            for part in ("Layer by layer", "Runbook", "Reports", "All of it as JSON"):
                for one in main.get_by_text(part, exact=True).all():
                    one.click()
            assert beginning in check(page)
            if screen == "gallery":
                main.get_by_role("radio", name="Pinned to incidents").click()
                expect(main.locator("img[alt*='step 9']").first).to_be_visible()
                check(page)
        page.goto(f"{base}/curves?run={quote('![x](http://' + EVIL + ')`**' + EVIL)}")
        expect(page.get_by_text("The store has no run")).to_be_visible()
        check(page)
        process.terminate()
        assert "Traceback" not in process.stdout.read()


@pytest.mark.service
def test_ordinary_names_are_displayed_as_they_are(start: Callable[..., Any], page: Page, hostile: Path) -> None:
    with start(hostile) as (base, _):
        page.goto(base)
        for name in NAMES[:10]:
            expect(page.get_by_test_id("stPageLink").filter(has_text=name).first).to_be_visible()
        page.goto(f"{base}/provenance?run=name0")
        expect(page.get_by_test_id("stTable").first).to_be_visible()
        cells = {displayed(cell) for cell in page.get_by_test_id("stTable").locator("td").all_inner_texts()}
        assert cells >= {" ".join(name.split()) for name in NAMES}
