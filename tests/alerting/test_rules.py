"""Rules, their tests and runbooks follow from the detectors, and Prometheus' own tools agree with them."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from ganwatch.alerting import alerts as alerting
from ganwatch.alerting import render
from ganwatch.commands import render as command
from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError

ALERTS = Path(__file__).parents[2] / "alerts"

def rules_of(text: str) -> list[dict]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def promtool(folder, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["promtool", *arguments], cwd=folder, text=True, capture_output=True, check=False)


def write(folder, rendered: dict[str, str]) -> None:
    for path, text in rendered.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, "utf-8")


def render_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_shipped_files_are_up_to_date():
    assert render.outdated_files(render.render_files(discover("ganwatch.detectors", Detector)), ALERTS) == []


def test_every_shipped_alert_is_static_routed_and_has_a_runbook():
    rules = rules_of((ALERTS / render.RULES).read_text("utf-8"))
    assert {rule["labels"]["severity"] for rule in rules} == {"page", "ticket"}
    for rule in rules:
        assert rule["labels"]["owner"] in {"model", "platform"}
        assert not any("{{" in text for text in [*rule["labels"].values(), rule["annotations"]["summary"]])
        assert "{{ $labels.instance }}" in rule["annotations"]["description"]
        page = (ALERTS.parent / rule["annotations"]["runbook_url"]).read_text("utf-8")
        assert rule["alert"] in page
        for heading in ("Meaning", "Impact", "Diagnosis", "Mitigation", "Blind spots"):
            assert re.search(rf"^## {heading}\n\n\S", page, re.MULTILINE), (rule["alert"], heading)


def test_every_shipped_detector_has_an_alert_on_its_own_gauge():
    rules = {rule["alert"]: rule for rule in rules_of((ALERTS / render.RULES).read_text("utf-8"))}
    for detector in discover("ganwatch.detectors", Detector):
        rule = rules[alerting.detector_alert(detector).name]
        assert f'ganwatch_incident{{code="{detector.code}"}}' in rule["expr"]
        assert rule["labels"]["severity"] == detector.severity


def test_a_detector_dropped_into_a_package_gets_alert_test_and_runbook(detectors):
    rendered = render.render_files(detectors)
    assert rules_of(rendered[render.RULES])[0] | {"annotations": ...} == {
        "alert": "GanwatchModeCollapse",
        "expr": 'max without (severity) (last_over_time(ganwatch_incident{code="GW101"}[15m])) == 1'
        ' unless last_over_time(ganwatch_incident_explained{code="GW101"}[15m]) == 1',
        "for": "1m",
        "keep_firing_for": "5m",
        "labels": {"severity": "page", "owner": "model"},
        "annotations": ...,
    }
    page = rendered["runbooks/GW101.md"]
    for text in ("# GW101 mode collapse", "The generator makes one mode.", "- too small a batch", "Data first.", "`ganwatch_vendi_ratio`"):
        assert text in page
    assert "layer_grad_norm" not in page


def test_links_start_with_the_base(detectors):
    rules = rules_of(render.render_rules(detectors, base="https://wiki.example/gan/"))
    assert {rule["annotations"]["runbook_url"].rpartition("/")[0] for rule in rules} == {"https://wiki.example/gan"}


@pytest.mark.parametrize("section", alerting.REQUIRED_SECTIONS)
def test_a_section_that_is_missing_is_named(make_detectors, section):
    found = make_detectors((section, "Something else"))
    with pytest.raises(UserError, match=f"must have the section '{section}' .*GW101"):
        render.render_files(found)


def test_two_detectors_of_one_title_are_refused(detectors, make_detectors):
    twin = make_detectors(("GW101", "GW102"), name="detectors_of_another")
    with pytest.raises(UserError, match=r"titles must be unique.*GanwatchModeCollapse"):
        render.render_files([*detectors, *twin])


def test_order_of_detectors_does_not_matter(detectors, make_detectors):
    twin = make_detectors(("GW101", "GW901"), ("mode collapse", "own fault"), name="detectors_of_another")
    assert render.render_files([*detectors, *twin]) == render.render_files([*twin, *detectors])
    assert alerting.detector_alert(twin[0]).owner == "platform"


def test_the_command_writes_verifies_and_removes(tmp_path, capsys):
    assert render_command("--output", str(tmp_path)) == 0
    assert render_command("--output", str(tmp_path), "--check") == 0
    (tmp_path / render.RULES).write_text("groups: []")
    (tmp_path / "runbooks").mkdir(exist_ok=True)
    left, own = tmp_path / "runbooks" / "GW998.md", tmp_path / "runbooks" / "by-hand.md"
    left.write_text(f"<!-- {render._MARKER} -->")
    own.write_text("# mine")
    capsys.readouterr()
    assert render_command("--output", str(tmp_path), "--check") == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [str(tmp_path / render.RULES), str(left)]
    assert render_command("--output", str(tmp_path)) == 0
    assert render_command("--output", str(tmp_path), "--check") == 0
    assert (left.exists(), own.exists()) == (False, True)


def test_the_command_names_a_folder_that_is_missing(tmp_path):
    with pytest.raises(UserError, match="--output must be a folder that exists"):
        render_command("--output", str(tmp_path / "none"))


@pytest.mark.service
def test_promtool_passes_the_shipped_rules_with_two_cases_each():
    assert promtool(ALERTS, "check", "rules", render.RULES).returncode == 0
    tested = promtool(ALERTS, "test", "rules", render.RULE_TESTS)
    assert tested.returncode == 0, tested.stdout
    names = [case["name"] for case in yaml.safe_load((ALERTS / render.RULE_TESTS).read_text("utf-8"))["tests"]]
    alerts = [rule["alert"] for rule in rules_of((ALERTS / render.RULES).read_text("utf-8"))]
    assert sorted(names) == sorted(f"{alert} {what}" for alert in alerts for what in ("fires", "stays silent"))


@pytest.mark.service
def test_the_rule_tests_pass_and_notice_every_weakened_rule(detectors, tmp_path):
    folder = tmp_path / "alerts"
    folder.mkdir()
    write(folder, render.render_files(detectors))
    assert promtool(folder, "test", "rules", render.RULE_TESTS).returncode == 0
    rules = (folder / render.RULES).read_text("utf-8")
    tests = yaml.safe_load((folder / render.RULE_TESTS).read_text("utf-8"))
    weaker = [
        ("ModeCollapse", r"\) == 1 unless", ") == 2 unless"),
        ("ModeCollapse", r" unless last_over_time\(ganwatch_incident_explained.*", ""),
        ("ModeCollapse", r'last_over_time\((ganwatch_incident{code="GW101"})\[15m\]\)', r"\1"),
        ("ModeCollapse", r"for: 1m\n    keep_firing_for: 5m", "keep_firing_for: 5m"),
        ("ModeCollapse", r"severity: page", "severity: ticket"),
        ("TargetDown", r" unless on \(job, instance\).*", ""),
        ("TargetDown", r" and on \(job, instance\) last_over_time\(ganwatch_step\[1d\]\)", ""),
        ("JobSilent", r" and ignoring \(state\).*", ""),
        ("JobSilent", r"> 600", "> 6000"),
        ("StoreFailures", r"increase\((ganwatch_store_failures_total)\[15m\]\)", r"\1"),
        ("ObserverErrors", r"increase\(ganwatch_observer_errors_total\[15m\]\) > 0", "vector(0) > 1"),
    ]
    for alert, old, new in weaker:
        changed, count = re.subn(old, new, rules)
        assert count, old
        cases = [case for case in tests["tests"] if case["name"].startswith(f"Ganwatch{alert} ")]
        write(folder, {render.RULES: changed, render.RULE_TESTS: yaml.safe_dump(tests | {"tests": cases})})
        assert promtool(folder, "test", "rules", render.RULE_TESTS).returncode == 1, (alert, new)


@pytest.mark.service
def test_scaled_rules_are_valid_and_shorter(detectors, tmp_path):
    (tmp_path / "scaled.yml").write_text(render.render_rules(detectors, scale=1 / 60), "utf-8")
    assert promtool(tmp_path, "check", "rules", "scaled.yml").returncode == 0
    assert rules_of((tmp_path / "scaled.yml").read_text())[0]["keep_firing_for"] == "5s"
