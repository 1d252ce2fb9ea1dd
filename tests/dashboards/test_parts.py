"""The parts of the screens, without a browser."""

from __future__ import annotations

import doctest
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ganwatch.dashboards import contact_sheets, escaping, formatting, page_policy, provenance
from ganwatch.dashboards.causal_tree import causal_tree
from ganwatch.dashboards.charts import Chart, Span, curve_chart, needs_log_scale
from ganwatch.dashboards.contact_sheets import GAP, GAP_COLOUR, encode_png, enlarge_tiles
from PIL import Image

from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.core.signals import find_signal

pytestmark = pytest.mark.xdist_group("dashboards")  # one worker builds what they share

SCREENS = """
import json, os, sys
from streamlit.testing.v1 import AppTest

for request in sys.stdin:
    store, *names = json.loads(request)
    os.environ["GANWATCH_STORE"] = store
    lines = []
    for name in names:
        script = f"from ganwatch.dashboards.{name} import page; from ganwatch.dashboards.current_store import with_error_messages"
        app = AppTest.from_string(f"{script}; with_error_messages(page)()", default_timeout=60).run()
        assert not app.exception, (name, app.exception)
        elements = [*app.warning, *app.info, *app.success, *app.subheader, *app.markdown, *app.caption]
        lines.append("|".join([name, *(element.value.replace(chr(10), " ") for element in elements)]))
    heavy = {"torch", "lightning", "sklearn", "evidently"} & set(sys.modules)
    assert not heavy, heavy
    print(json.dumps(lines), flush=True)
"""

Draw = Callable[..., list[str]]


@pytest.fixture(scope="module")
def draw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Draw]:
    """Draws screens of a store in one process that has imported nothing else; returns their messages, a line per screen."""
    log = tmp_path_factory.mktemp("screens") / "errors.txt"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with log.open("w") as errors, subprocess.Popen([sys.executable, "-c", SCREENS], **pipes, stderr=errors, text=True) as process:

        def messages(store: Path, *screens: str) -> list[str]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps([str(store), *screens]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            assert answer.startswith("["), answer + log.read_text()[-2000:]
            return json.loads(answer)

        yield messages


def test_screens_need_neither_torch_nor_lightning(recorded: Path, draw: Draw) -> None:
    lines = draw(recorded, "overview", "curves", "incidents", "gallery", "provenance")
    assert [line.partition("|")[0] for line in lines] == ["overview", "curves", "incidents", "gallery", "provenance"]


def test_empty_stores_say_what_to_do(tmp_path: Path, draw: Draw) -> None:
    from ganwatch.store.database import open_store

    open_store(tmp_path / "empty").close()
    for store in (tmp_path / "empty", tmp_path / "missing", tmp_path / "missing.db"):
        for line in draw(store, "overview", "curves", "incidents", "gallery", "provenance"):
            assert "No runs yet" in line
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]  # looking creates nothing


def test_malformed_records_are_messages(tmp_path: Path, draw: Draw) -> None:
    """What a damaged store holds in place of a record hides neither the other records nor the other screens."""
    from ganwatch.core.detector import Verdict
    from ganwatch.core.readings import Readings, Run
    from ganwatch.sinks.sql import SqlSink
    from ganwatch.store.audit_log import append_drift_check

    screens = ("overview", "incidents", "provenance")
    sink = SqlSink(tmp_path)
    for name in ("good", "bad"):
        sink.start(Run(name, name, provenance={"name": name}))
        sink.readings([Readings(1, {"loss/g": 0.5})])
        evidence = Verdict(0.5, 1.0, "loss/g", 3, "origin", f"explanation of {name}")
        sink.incident(Incident("GW101-1", "GW101", "collapse", Severity.PAGE, State.FIRING, 1, 2, evidence=evidence))
        append_drift_check(sink.store, name, {"verdict": "unchanged", "advice": f"advice {name}", "changed_columns": [], "world": None})
    sink.close()
    odd = ["null", "[1, 2]", '"text"', "{", "7", '{"nonfinite": 3}', '{"nonfinite": [[["a", "b"], "x"]]}']
    odd += ['{"value": "abc", "signal": null}', "[" * 5000]
    for json_text in odd:
        for change in ("run SET provenance = ?1, outcome = ?1", "incident SET verdict = ?1, extras = ?1", "audit SET detail = ?1"):
            with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection, connection:
                owner = {"run": "id", "incident": "run_id", "audit": "subject"}[change.partition(" ")[0]]
                connection.execute(f"UPDATE {change} WHERE {owner} = 'bad'", (json_text,))
        lines = dict(zip(screens, draw(tmp_path, *screens), strict=True))
        assert "explanation of good" in lines["overview"]
        assert "advice good" in lines["overview"]
        assert "The last drift check cannot be displayed: a record in the store is malformed" in lines["overview"]
        if json_text != "null":
            assert "The evidence in the store is malformed" in lines["overview"]
    for change in ("started = 'long ago'", "started = 1e300", "heartbeat = 'x'", "state = x'00ff'"):
        with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection, connection:
            connection.execute(f"UPDATE run SET {change} WHERE id = 'bad'")  # noqa: S608
        assert any("cannot be displayed" in line for line in draw(tmp_path, *screens))


def test_a_sheet_that_cannot_be_read_is_a_message(tmp_path: Path, draw: Draw) -> None:
    from ganwatch.core.readings import Readings, Run, SampleImages
    from ganwatch.sinks.sql import SqlSink

    sink = SqlSink(tmp_path)
    sink.start(Run("run", "sheets"))
    sink.readings([Readings(1, {"loss/g": 0.5})])
    for step in range(1, 6):
        sink.samples(SampleImages(step, "fixed", (1, 2, 2, 1), bytes([step] * 4)))
    sink.finish("finished")
    sink.close()
    gone, corrupt, *_ = sorted((tmp_path / "artifacts").rglob("*.png"))
    gone.unlink()
    corrupt.write_bytes(b"no image")
    with closing(sqlite3.connect(tmp_path / "ganwatch.db")) as connection, connection:
        connection.execute("UPDATE artifact SET columns = 0 WHERE step = 3")
        connection.execute("UPDATE artifact SET path = '../../etc/passwd' WHERE step = 4")
    [gallery] = draw(tmp_path, "gallery")
    assert gallery.count("is gone") == 1
    assert gallery.count("cannot be read as samples") == 3


def test_a_code_stands_with_its_title(tmp_path: Path, draw: Draw) -> None:
    from ganwatch.core.readings import Readings, Run
    from ganwatch.sinks.sql import SqlSink

    sink = SqlSink(tmp_path)
    sink.start(Run("run", "explained"))
    sink.readings([Readings(1, {"loss/g": 0.5})])
    for code, title, cause in (("GW302", "exploding gradients", None), ("GW101", "mode collapse", "GW302-1"), ("GW403", "stall", "gone-1")):
        sink.incident(Incident(f"{code}-1", code, title, Severity.PAGE, State.FIRING, 1, 2, cause=cause))
    sink.close()
    overview, incidents = draw(tmp_path, "overview", "incidents")
    assert "explained by GW302 exploding gradients" in overview
    assert r"explained by an incident that is not recorded \(gone\-1\)" in overview
    assert "Explains **GW101 mode collapse**" in incidents


def test_the_last_drift_check_is_on_the_overview(tmp_path: Path, draw: Draw) -> None:
    from ganwatch.core.readings import Readings, Run
    from ganwatch.drift.verdict import decide
    from ganwatch.sinks.sql import SqlSink
    from ganwatch.store.audit_log import append_drift_check
    from ganwatch.store.database import open_store

    sink = SqlSink(tmp_path)
    sink.start(Run("run", "digits"))
    sink.readings([Readings(1, {"drift_score": 0.5, "measure/sharpness": 1.0})])
    sink.close()
    baseline = np.random.default_rng(0).normal(size=(60, 2))
    with open_store(tmp_path) as store:
        for shift in (0.0, 3.0):
            columns = {"width": baseline[:, 0]}, {"width": baseline[:, 0] + shift}
            append_drift_check(store, "run", decide(baseline, baseline + shift, columns=columns).as_dict())
    overview, curves = draw(tmp_path, "overview", "curves")
    assert "changed columns: width" in overview
    assert "retrain" in overview
    assert overview.count("in digits") == 1
    assert "|Drift|" in curves
    assert "|Measures|" in curves


def test_each_value_that_a_loop_logs_has_its_own_curve(tmp_path: Path, draw: Draw) -> None:
    from ganwatch.core.readings import Readings, Run
    from ganwatch.sinks.sql import SqlSink

    sink = SqlSink(tmp_path)
    sink.start(Run("run", "own"))
    sink.readings([Readings(step, {"logged/fid": 90.0 - step, "logged/my rate/g": 1e-4, "loss/g": 0.5}) for step in (1, 2, 3)])
    sink.finish("finished")
    sink.close()
    [curves] = draw(tmp_path, "curves")
    assert "|Logged|" in curves
    assert "|**logged/fid** :small[:gray[fid 87 at step 3]]|**logged/my rate/g**" in curves


@pytest.mark.parametrize(("shape", "width"), [((36, 8, 8, 1), 450), ((5, 8, 6, 3), 200), ((1, 96, 96, 1), 450), ((36, 128, 128, 3), 450)])
def test_enlarged_sheets_keep_every_pixel(shape: tuple[int, ...], width: int) -> None:
    samples = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(encode_png(enlarge_tiles(samples, width)))))
    assert sheet.shape[1] <= width
    count, height, tile, channels = shape
    fits = [(sheet.shape[1] + GAP) % (tile * f + GAP) == (sheet.shape[0] + GAP) % (height * f + GAP) == 0 for f in range(17)]
    factor = max(f for f in range(1, 17) if fits[f])
    columns = (sheet.shape[1] + GAP) // (tile * factor + GAP)
    for place in range(count):
        top, left = place // columns * (height * factor + GAP), place % columns * (tile * factor + GAP)
        shown = sheet[top : top + height * factor, left : left + tile * factor]
        np.testing.assert_array_equal(shown, np.kron(samples[place], np.ones((factor, factor, 1), np.uint8)).repeat(3 // channels, 2))
    lines = sheet.reshape(-1, 3)[(sheet.reshape(-1, 3) == GAP_COLOUR).all(1)]
    assert len(lines) >= (sheet.shape[0] * GAP * (columns - 1))


def incident(name: str, onset: int, cause: str | None = None) -> Incident:
    return Incident(f"{name}-1", name, name, Severity.PAGE, State.FIRING, onset, onset, cause=cause)


def test_causes_come_before_what_they_explain() -> None:
    found = [incident("GW101", 50, "GW302-1"), incident("GW403", 90, "GW101-1"), incident("GW302", 60), incident("GW501", 10, "gone-1")]
    assert [(depth, one.code) for depth, one in causal_tree(found)] == [(0, "GW501"), (0, "GW302"), (1, "GW101"), (2, "GW403")]
    circle = [incident("GW101", 5, "GW302-1"), incident("GW302", 3, "GW101-1")]
    assert [(depth, one.code) for depth, one in causal_tree(circle)] == [(0, "GW302"), (1, "GW101")]


@pytest.mark.parametrize("module", [contact_sheets, escaping, formatting, page_policy, provenance])
def test_examples_in_documentation(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0 == found.failed


def titles(chart: Chart) -> dict[str, set[str | None]]:
    """Titles by axis; a chart whose layers disagree shows none of them."""
    fields = [(axis, layer["encoding"].get(axis, {})) for layer in chart.spec["layer"] for axis in ("x", "y")]
    return {axis: {field["title"] for which, field in fields if which == axis and "field" in field} for axis in ("x", "y")}


def test_chart_marks_incidents_and_broken_readings() -> None:
    steps = np.arange(1, 6)
    curves = {"g": (steps, np.array([1.0, 10.0, np.nan, 100.0, np.inf])), "d": (steps, np.ones(5))}
    marked = [Span("GW303", "non-finite", 3, None, "red"), Span("GW101", "collapse", 1, 2, "red"), Span("GW501", "x", 9, None, "red")]
    data, spec = curve_chart(curves, marked, steps=(1, 5), log=True, threshold=20.0)
    assert sorted(data["series"].value_counts().items()) == [("d", 5), ("g", 3)]
    own = [layer for layer in spec["layer"] if "data" in layer]
    bands = {layer["data"]["values"][0]["code"]: layer["data"]["values"][0] for layer in own if layer["mark"]["type"] == "rect"}
    assert {code: (row["from"], row["to"]) for code, row in bands.items()} == {"GW303": (3, 5), "GW101": (1, 2)}
    names = [layer["data"]["values"][0][layer["encoding"]["text"]["field"]] for layer in own if layer["mark"]["type"] == "text"]
    assert names == ["GW303 non-finite", "GW101 collapse"]  # a code stands with its title
    [ticks] = [layer["data"]["values"] for layer in own if layer["mark"]["type"] == "tick"]
    assert [(row["step"], row["reading"]) for row in ticks] == [(3, "nan"), (5, "inf")]
    assert titles(curve_chart(curves, marked, steps=(1, 5), threshold=20.0, unit="norm")) == {"x": {"step"}, "y": {"norm"}}
    assert titles(curve_chart(curves, steps=(1, 5), unit="value"))["y"] == {None}
    drawn = {count: curve_chart({"": (np.arange(count), np.ones(count))}, steps=(1, 50)).spec["layer"] for count in (1, 50)}
    assert {n: any(layer["mark"].get("point") for layer in layers) for n, layers in drawn.items()} == {1: True, 50: False}
    assert needs_log_scale(find_signal("grad_norm/g"), curves)
    assert not needs_log_scale(find_signal("d_auc"), curves)
    assert not needs_log_scale(find_signal("grad_norm/g"), {"g": (steps, np.zeros(5))})
