"""Detectors raise on every recorded run the incidents that they raised when these were recorded."""

from corpus_incidents import expected, incidents_now


def test_every_recorded_run_raises_the_same_incidents():
    before, now = expected(), incidents_now()
    assert {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)} == set()
