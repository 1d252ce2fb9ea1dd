"""Lines of the log say who speaks where a program has not configured logging."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import logging
{configure}
from ganwatch.core.detector import Severity
from ganwatch.core.incidents import Incident, State
from ganwatch.sinks.log import LogSink

sink = LogSink()
incident = Incident("GW304-2", "GW304", "oscillation", Severity.TICKET, State.FIRING, 1, 2)
sink.incident(incident)
incident.state, incident.resolved = State.RESOLVED, 9
sink.incident(incident)
logging.getLogger("ganwatch").warning("ganwatch: %s", "said once")
"""
LINES = ["oscillation (GW304-2) since step 1 (seen at step 2)", "oscillation (GW304-2) resolved at step 9"]


@pytest.mark.parametrize(
    ("configure", "expected"),
    [
        ("", [*(f"ganwatch: {line}" for line in LINES), "ganwatch: said once"]),
        (
            "logging.basicConfig(level='INFO', format='%(name)s %(message)s')",
            [*(f"ganwatch {line}" for line in LINES), "ganwatch ganwatch: said once"],
        ),
        ("logging.basicConfig(format='%(message)s')", [LINES[0], "ganwatch: said once"]),
    ],
)
def test_a_line_has_its_speaker_once(configure: str, expected: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE.format(configure=configure)], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == expected
