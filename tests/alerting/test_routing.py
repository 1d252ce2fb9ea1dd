"""Every alert has a receiver of its own kind, nothing is lost by inhibition, and no secret is written down."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from ganwatch.alerting.render import RULES

ALERTS = Path(__file__).parents[2] / "alerts"
CONFIG = yaml.safe_load((ALERTS / "alertmanager.yml").read_text("utf-8"))


def test_inhibition_needs_labels_that_exist_on_both_sides():
    for rule in CONFIG["inhibit_rules"]:
        for label in rule["equal"]:
            for side in ("source_matchers", "target_matchers"):
                assert any(matcher.startswith(f"{label}=") or matcher == f'{label}!=""' for matcher in rule[side]), (label, rule)


def test_secrets_are_named_by_file_only():
    def walk(node, key=""):
        if isinstance(node, dict | list):
            for name, child in node.items() if isinstance(node, dict) else ((key, child) for child in node):
                yield from walk(child, name)
        else:
            yield key, node

    secret = ("credentials", "password", "token", "api_key", "routing_key", "service_key", "api_url", "secret")
    assert not [key for key, _ in walk(CONFIG) if key.endswith(secret)]
    assert all("@" not in str(value) for key, value in walk(CONFIG) if key == "url")


@pytest.mark.service
def test_amtool_and_promtool_accept_the_configurations():
    for command in (["amtool", "check-config", "alertmanager.yml"], ["promtool", "check", "config", "prometheus.yml"]):
        checked = subprocess.run(command, cwd=ALERTS, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.service
def test_every_alert_reaches_its_owner_by_its_severity():
    rules = [rule for group in yaml.safe_load((ALERTS / RULES).read_text("utf-8"))["groups"] for rule in group["rules"]]
    kinds = {(rule["labels"]["owner"], rule["labels"]["severity"]) for rule in rules} | {("model", "page"), ("model", "ticket")}
    for owner, severity in kinds:
        command = ["amtool", "config", "routes", "test", "--config.file=alertmanager.yml", f"owner={owner}", f"severity={severity}"]
        routed = subprocess.run(command, cwd=ALERTS, text=True, capture_output=True, check=True)
        assert routed.stdout.split() == [f"{owner}-{severity}"]
