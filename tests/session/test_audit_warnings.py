"""Warnings of the audit before the first step have the name of their code."""

from __future__ import annotations

import numpy as np
import pytest

from ganwatch.session.run_start import start_run


def test_a_warning_of_the_audit_has_its_name(caplog: pytest.LogCaptureFixture) -> None:
    images = np.random.default_rng(0).random((1200, 8, 8))
    images[:600] = 0.5
    start_run(None, "mine", {}, data=images)
    said = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("finding of the data audit (GW503): constant items. ") for line in said)
