"""Tables, drawings, names and links of the documents agree with the code."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import tomllib
from pathlib import Path

import pytest

from ganwatch.cli import parser
from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover
from ganwatch.core.signals import catalogue

from .conftest import DOCUMENTS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEXT = {str(path.relative_to(ROOT)): path.read_text() for path in DOCUMENTS}
DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def table(document: str, heading: str) -> dict[str, list[str]]:
    """Rows of the table whose first column has this heading: first cell to the others."""
    found = re.search(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT[document], re.MULTILINE)
    assert found, f"{document} must have a table that begins with the column {heading!r}"
    rows = [[cell.strip() for cell in line.strip("|\n ").split(" |")] for line in found[1].splitlines()]
    return {row[0]: row[1:] for row in rows}


def codes(text: str) -> list[str]:
    """Texts in backticks."""
    return re.findall(r"`([^`]+)`", text)


def anchors(path: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@DOCUMENT
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_index_lists_every_page():
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([^/)]+\.md)\)", (ROOT / "docs" / "README.md").read_text())) == pages


@DOCUMENT
def test_names_in_code_exist(document):
    for name in codes(document.read_text()):
        if re.fullmatch(r"(ganwatch|tests|docs|alerts|examples|dashboards)/[\w./-]*", name) and "GW" not in name:
            assert (ROOT / name).exists(), name
        elif re.fullmatch(r"ganwatch(\.\w+)+(\(\w+\))?", name) and not name.endswith(".yml"):
            resolve(name.partition("(")[0])


@DOCUMENT
def test_identifiers_occur_in_the_code(document):
    named = {part for name in codes(document.read_text()) if re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)*", name) for part in name.split(".")}
    identifiers = {name for name in named if "_" in name or re.search(r"[a-z][A-Z]", name)}
    paths = [path for folder in ("ganwatch", "tests/benchmarks") for path in (ROOT / folder).rglob("*.py")]
    code = set(re.findall(r"\w+", "\n".join(path.read_text() for path in paths)))
    assert identifiers - code == set()


def resolve(name: str) -> object:
    """The object of a dotted name."""
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_drawing_is_the_import_contract(document):
    drawing = re.search(r"<!-- layers -->\n```text\n(.*?)```", TEXT[document], re.DOTALL)[1]
    drawn = [[name.strip() for name in line.split("  ")[0].split("|")] for line in drawing.splitlines()]
    contract = next(one for one in PROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    assert drawn == [[name.strip() for name in layer.split("|")] for layer in contract["layers"]]


def test_the_extras_are_those_of_the_package():
    assert [name for cell in table("README.md", "extra") for name in codes(cell)] == list(PROJECT["project"]["optional-dependencies"])


def test_every_command_is_documented_and_every_documented_command_exists():
    known = next(action.choices for action in parser()._actions if action.dest == "command")
    assert [codes(cell)[0].split()[1] for cell in table("docs/commands.md", "command")] != []
    assert {codes(cell)[0].split()[1] for cell in table("docs/commands.md", "command")} == set(known)


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in TEXT.values():
        assert set(re.findall(r"(?:`|^\$ )make ([a-z0-9-]+)", text, re.MULTILINE)) <= targets
    named = {name.removeprefix("make ") for cell in table("docs/commands.md", "target") for name in codes(cell)}
    assert named == targets


def test_every_detector_is_documented_and_every_code_exists():
    found = {cls.code: (cls.title, str(cls.severity)) for cls in discover("ganwatch.detectors", Detector)}
    listed = table("docs/read-an-incident.md", "code")
    rows = {re.search(r"GW\d+", cell)[0]: (title, severity) for cell, (title, severity, _) in listed.items()}
    assert {code: row for code, row in rows.items() if code != "GW503"} == found
    for name, text in TEXT.items():
        assert set(re.findall(r"GW\d{3}", text)) <= {*found, "GW503"}, name
    assert {*found, "GW503"} <= set(re.findall(r"GW\d{3}", TEXT["README.md"]))


def test_every_group_of_signals_is_in_the_glossary():
    assert list(table("docs/glossary.md", "group")) == list(dict.fromkeys(signal.group for signal in catalogue().values()))


def test_terms_of_the_glossary_are_sorted():
    terms = list(table("docs/glossary.md", "term"))
    assert terms == sorted(terms, key=str.lower)


def test_faults_and_their_codes_are_those_of_the_demo():
    from ganwatch.core.detector_settings import failure_names
    from ganwatch.trainer.faults import FAULTS

    stated = {codes(cell)[0]: row[-1] for cell, row in table("docs/read-an-incident.md", "fault").items()}
    assert stated == {name: failure_names()[fault.code] for name, fault in FAULTS.items()}


def test_usual_names_of_networks_are_those_of_the_callback():
    from ganwatch.session.lightning_networks import DISCRIMINATOR_NAMES, GENERATOR_NAMES

    stated = {network: codes(row[0]) for network, row in table("docs/wrap-a-loop.md", "network").items()}
    assert stated == {"generator": list(GENERATOR_NAMES), "discriminator": list(DISCRIMINATOR_NAMES)}


def test_cadences_are_those_of_the_probes():
    from ganwatch.session.defaults import default_probes

    rows = {"gradients": "gradient norms", "gradient_flow": "gradient flow", "layers": "single layers", "saturation": "discriminator"}
    rows |= {"training": "learning rates", "data": "ranges of the data", "heldout": "held-out reals", "online_quality": "online quality"}
    stated = {name: int(re.match(r"\d+", row[0])[0]) for name, row in table("docs/wrap-a-loop.md", "what").items()}
    probes = {rows.get(probe.name, probe.name): probe for probe in default_probes()}
    assert set(probes) == set(stated)
    for name, probe in probes.items():
        if name not in {"quality", "held-out reals"}:  # these look more often than they measure
            assert stated[name] == probe.every, name
    assert stated["quality"] == probes["quality"].interval


def test_arguments_that_override_are_those_of_watch():
    from ganwatch import watch

    stated = {name.partition("=")[0] for cell in table("docs/wrap-a-loop.md", "argument of `watch`") for name in codes(cell)}
    assert stated <= set(inspect.signature(watch).parameters)


def test_verdicts_and_exit_codes_are_those_of_drift():
    from ganwatch.drift.verdict import DriftVerdict

    stated = {codes(cell)[0]: int(row[0]) for cell, row in table("docs/watch-drift.md", "verdict").items()}
    assert stated == {str(verdict): verdict.exit_code for verdict in DriftVerdict}


def test_every_metric_is_documented():
    from ganwatch import metrics

    stated = {name.partition("(")[0] for row in table("docs/measure-quality.md", "you want to measure").values() for name in codes(row[0])}
    assert stated - {"estimates"} == set(dir(metrics))


def test_alerts_that_no_detector_raises_are_documented():
    rules = set(re.findall(r"alert: (\w+)", (ROOT / "alerts" / "ganwatch.rules.yml").read_text()))
    titles = [re.split("[ -]", cls.title) for cls in discover("ganwatch.detectors", Detector)]
    of_detectors = {"Ganwatch" + "".join(map(str.title, title)) for title in titles}
    assert {codes(cell)[0] for cell in table("docs/deploy-alerts.md", "alert")} == rules - of_detectors


def test_the_line_that_lists_signals_does(capsys):
    [line] = re.findall(r"`python -c \"(.*?)\"`", TEXT["CONTRIBUTING.md"])
    exec(line, {})  # noqa: S102  # the document's own line
    assert "grad_norm | network | norm | " in capsys.readouterr().out


def test_headline_figures_of_the_readme_are_those_of_the_whole_table():
    whole = table("docs/how-often-it-is-right.md", "failure")["all"]
    flagged = re.search(r"healthy runs flagged: (\d+ of \d+)", TEXT["docs/how-often-it-is-right.md"])[1]
    of_known_kinds = f"finds {whole[0]}, explains {whole[2].split()[0]} and flags {flagged} healthy ones"
    assert of_known_kinds in TEXT["README.md"].replace("\n", " ")
    left_out = list(table("docs/how-often-it-is-right.md", "left out").values())
    found, root, healthy = (sorted({int(row[column].split()[0]) for row in left_out if row[column] != "0 of 0"}) for column in (0, 2, 5))
    rates = sorted(float(row[7].split()[0]) for row in left_out if len(row) > 7)
    runs, of_healthy = left_out[0][0].split()[2], left_out[1][5].split()[2]
    shares = [f"({low / int(runs):.2f} to {high / int(runs):.2f})".replace("0.", ".") for low, *_, high in (found, root)]
    assert [row[0] for row in table("README.md", "figure").values()] == [
        f"{found[0]} to {found[-1]} of {runs} {shares[0]}",
        f"{root[0]} to {root[-1]} of {runs} {shares[1]}",
        f"{healthy[0]} to {healthy[-1]} of {of_healthy}",
        f"{rates[0]:.1f} to {rates[-1]:.1f}",
    ]


def test_the_table_of_features_is_that_of_the_measured_results_and_names_the_default(monkeypatch):
    from ganwatch.features.registry import DEFAULT

    features = importlib.import_module("features")
    rows = json.loads(features.RESULTS.read_text())
    assert features.markdown(rows) in features.DOCUMENT.read_text()
    assert features.best(rows) == DEFAULT
    monkeypatch.delitem(importlib.import_module("sys").modules, "features")


def test_the_readme_is_short():
    assert TEXT["README.md"].count("\n") <= 150
