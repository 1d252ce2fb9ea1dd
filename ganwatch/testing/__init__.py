"""Checks that hold for every detector, probe, metric and sink, ganwatch's own and yours: one line in a test.

>>> from ganwatch.detectors.bad_batch import BadBatch
>>> from ganwatch.testing import check_detector
>>> check_detector(BadBatch, seeds=[0])

A violation raises ``AssertionError``; its message names the class, the rule and what was got.
"""

from __future__ import annotations

from ganwatch.testing.detectors import check_detector
from ganwatch.testing.metrics import check_metric
from ganwatch.testing.probes import check_probe
from ganwatch.testing.sinks import check_sink

__all__ = ["check_detector", "check_metric", "check_probe", "check_sink"]
