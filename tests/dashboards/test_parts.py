"""The parts of the screens, without a browser."""

from __future__ import annotations

import doctest
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ganwatch.dashboards import contact_sheets, escaping, formatting, page_policy, provenance, server
from ganwatch.dashboards.causal_tree import causal_tree
from ganwatch.dashboards.charts import Chart, Span, curve_chart, needs_log_scale
from ganwatch.dashboards.contact_sheets import GAP, GAP_COLOUR, encode_png, enlarge_tiles
from PIL import Image

from ganwatch.commands import dashboard
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
        app = AppTest.from_string(f"from ganwatch.dashboards.{name} import page; page()", default_timeout=60).run()
        assert not app.exception, (name, app.exception)
        elements = [*app.warning, *app.info, *app.success, *app.subheader, *app.markdown]
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
            assert answer, log.read_text()
            return json.loads(answer)

        yield messages


def test_screens_need_neither_torch_nor_lightning(recorded: Path, draw: Draw) -> None:
    lines = draw(recorded, "overview", "curves", "incidents", "gallery", "provenance")
    assert [line.partition("|")[0] for line in lines] == ["overview", "curves", "incidents", "gallery", "provenance"]


def test_empty_stores_say_what_to_do(tmp_path: Path, draw: Draw) -> None:
    from ganwatch.store.database import open_store

    open_store(tmp_path / "empty").close()
    for line in draw(tmp_path / "empty", "overview", "curves", "incidents", "gallery", "provenance"):
        assert "No runs yet" in line


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
    assert "|**logged/fid** :small[:gray[now fid 87]]|**logged/my rate/g**" in curves


def options(**given: object) -> object:
    from ganwatch.cli import parser

    return parser().parse_args(["dashboard", *(f"--{name}={value}" for name, value in given.items())])


def test_command_refuses_what_cannot_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ganwatch.store.database import open_store

    with pytest.raises(ValueError, match="store must exist"):
        dashboard.run(options(store=tmp_path / "missing"))
    open_store(tmp_path / "runs").close()
    with pytest.raises(ValueError, match=r"--port must be in 0…65535, got 70000"):
        dashboard.run(options(store=tmp_path / "runs", port=70_000))
    with pytest.raises(ValueError, match=r"must be free to listen at, got 203\.0\.113\.1:0"):
        dashboard.run(options(store=tmp_path / "runs", port=0, address="203.0.113.1"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'pip install "ganwatch\[dashboard\]"'):
        dashboard.run(options(store=tmp_path / "runs"))


def test_server_listens_where_told_and_reports_nothing_home(monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn
    from streamlit import config

    calls: list[dict[str, object]] = []
    before = {name: config.get_option(name) for name in (*server.OPTIONS, "server.address", "server.port", "server.headless")}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: calls.append(options))
    try:
        server.serve("127.0.0.1", 8501)
        assert {name: config.get_option(name) for name in server.OPTIONS} == server.OPTIONS
    finally:
        for name, value in before.items():
            config.set_option(name, value)
    assert [(call["host"], call["port"]) for call in calls] == [("127.0.0.1", 8501)]
    expected = {"browser.gatherUsageStats": False, "server.enableCORS": True, "server.enableXsrfProtection": True, "theme.base": "light"}
    assert server.OPTIONS.items() >= expected.items()
    assert dashboard.server_command("127.0.0.1", 8501)[-3:] == ["ganwatch.dashboards.server", "127.0.0.1", "8501"]


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
    [ticks] = [layer["data"]["values"] for layer in own if layer["mark"]["type"] == "tick"]
    assert [(row["step"], row["reading"]) for row in ticks] == [(3, "nan"), (5, "inf")]
    assert titles(curve_chart(curves, marked, steps=(1, 5), threshold=20.0, unit="norm")) == {"x": {"step"}, "y": {"norm"}}
    assert titles(curve_chart(curves, steps=(1, 5), unit="value"))["y"] == {None}
    drawn = {count: curve_chart({"": (np.arange(count), np.ones(count))}, steps=(1, 50)).spec["layer"] for count in (1, 50)}
    assert {n: any(layer["mark"].get("point") for layer in layers) for n, layers in drawn.items()} == {1: True, 50: False}
    assert needs_log_scale(find_signal("grad_norm/g"), curves)
    assert not needs_log_scale(find_signal("d_auc"), curves)
    assert not needs_log_scale(find_signal("grad_norm/g"), {"g": (steps, np.zeros(5))})
