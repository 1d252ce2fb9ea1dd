"""Numbers and names in files and saved states do not decide how much work there is."""

import os

import pytest

from ganwatch.core import files
from ganwatch.core.detector import Verdict
from ganwatch.core.detector_settings import create_detectors, discover_detectors
from ganwatch.core.errors import UserError, show_names, show_value
from ganwatch.core.import_path import import_attribute
from ganwatch.core.incident_book import IncidentBook
from ganwatch.core.monitor import Monitor
from ganwatch.core.statistics import HealthyMedian, Plateau, Streak, Window
from ganwatch.detectors.bad_batch import BadBatch
from ganwatch.detectors.non_finite import NonFinite


def test_a_window_of_a_preset_is_bounded():
    with pytest.raises(UserError, match=r"must give range mismatch \(GW501\) a whole number of at most 100,000 as window, got 1000000000"):
        create_detectors(discover_detectors(), {"GW501": {"window": 10**9}}, "preset")


def test_a_ratio_of_a_preset_is_no_divisor_of_zero():
    with pytest.raises(UserError, match=r"must give latent fault \(GW504\) valid arguments: scale_ratio must be > 0 \(ratio\), got 0"):
        create_detectors(discover_detectors(), {"GW504": {"scale_ratio": 0}}, "preset")


def test_a_folder_has_a_largest_number_of_files(tmp_path, monkeypatch):
    for name in "abc":
        (tmp_path / name).touch()
    assert len(list(files.walk_files(tmp_path, "data"))) == 3
    monkeypatch.setattr(files, "MAX_FILES", 2)
    with pytest.raises(UserError, match="data must be a folder of at most 2 files, got more in"):
        list(files.walk_files(tmp_path, "data"))


def test_paths_that_cannot_be_lead_nowhere(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in ("x" * 5000, "a\0b", tmp_path / "loop", os.fsdecode(b"\xff")):
        assert not files.exists(path)
        assert not files.is_folder(path)


def test_names_and_values_of_others_take_one_short_line():
    class Tall:
        def __repr__(self):
            return "a\nb" * 1000

    assert "\n" not in show_value(Tall()) + show_names(["a\nb"])
    assert len(show_value(Tall())) <= 201
    assert len(show_names(["x" * 1000] * 1000)) < 3000


@pytest.mark.parametrize("target", [".:.", "nosuch:x", "math:nosuch", ":", "a b:c"])
def test_an_import_that_fails_for_any_reason_is_one_line(target):
    with pytest.raises(UserError, match=r"data must name an importable package\.module:attribute"):
        import_attribute(target, "data")


@pytest.mark.parametrize(
    ("part", "state"),
    [
        (Window(5), None), (Window(5), {"_steps": [1, 2], "_values": [1.0]}), (Window(5), {"_values": ["a"]}), (Window(5), {"_steps": 3}),
        (Window(5), {"_gap": "x"}),
        (HealthyMedian(warmup=2), {"_stride": 0}), (HealthyMedian(warmup=2), {"_sorted": [None]}), (Plateau(2, 0.1), {"_values": [[]]}),
        (Streak(2), {"_count": None}), (Streak(2), {"_count": 2**63}),
    ],
)  # fmt: skip
def test_a_state_of_another_type_is_refused(part, state):
    with pytest.raises(UserError, match="must"):
        part.load_state_dict(state)


def test_a_refused_state_changes_nothing():
    monitor = Monitor(detectors=[NonFinite()])
    for name, value in (("step", None), ("detectors", {"GW303": 3}), ("last_updates", {}), ("coverage", {"a": [1]}), ("incidents", {}),
        ("results", {"GW303": {"value": 1}})):
        before = monitor.state_dict()
        with pytest.raises(UserError, match="must"):
            monitor.load_state_dict(before | {name: value})
        assert monitor.state_dict() == before
    for state in (None, {}, []):
        with pytest.raises(UserError, match="must"):
            monitor.load_state_dict(state)


def test_causes_are_found_where_steps_go_back():
    book = IncidentBook()
    verdict = lambda onset: Verdict(1.0, 0.0, "loss/g", 1, "test", "It is.", onset=onset)
    for step, cls in ((500, BadBatch), (3, NonFinite), (900, NonFinite)):
        book.update(step, cls, verdict(10**6))
    assert [incident.cause for incident in book.history] == [None, "GW502-1"]


def test_the_work_of_a_step_does_not_grow_with_the_incidents():
    book, verdict = IncidentBook(), Verdict(1.0, 0.0, "loss/g", 1, "test", "It is.")
    for step in range(0, 2_000_000, 1000):
        book.update(step, NonFinite, verdict)
        book.update(step + 500, NonFinite, None)
    assert len(book.history) == 2000
    assert book.history[-1].id == "GW303-2000"
    other = IncidentBook()
    other.load_state_dict(book.state_dict())
    [incident] = other.update(10**8, NonFinite, verdict)
    assert incident.id == "GW303-2001"
