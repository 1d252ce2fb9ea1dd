from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover
from ganwatch.core.probe import Probe
from ganwatch.core.signals import catalogue, find_signal, register

SIGNALS = list(catalogue().values())


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)
def test_an_entry_is_complete(signal) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", signal.name)
    assert re.fullmatch(r"ganwatch_[a-z][a-z0-9_]*", signal.exported_name)
    assert re.fullmatch(r"[A-Zg].*\.", signal.help)  # a sentence; "ganwatch" is written small
    assert "\n" not in signal.help
    assert signal.unit in {"ratio", "seconds", "bytes", "nats", "norm", "value", "count"}
    assert signal.label in {"", "network", "layer", "batch", "name", "label", "group"}
    assert signal.low < signal.high
    assert signal.group != "other"


def test_exported_names_are_unique_and_end_in_their_unit() -> None:
    names = [signal.exported_name for signal in SIGNALS]
    assert len(set(names)) == len(names)
    for signal in SIGNALS:
        if signal.unit in {"ratio", "seconds", "bytes"}:
            assert signal.exported_name.endswith(f"_{signal.unit}")
    assert find_signal("d_auc").exported_name == "ganwatch_discriminator_auc_ratio"
    assert find_signal("observer_dropped").exported_name == "ganwatch_observer_dropped"


def test_a_series_belongs_to_the_family_before_the_slash() -> None:
    assert find_signal("layer_grad_norm/main.0/weight").name == "layer_grad_norm"
    assert find_signal("unheard/of") is None


def test_a_family_has_one_definition() -> None:
    register(SIGNALS[0])
    with pytest.raises(ValueError, match="signal name must be unique, got a second definition of 'loss'"):
        register(replace(SIGNALS[0], help="Another."))
    assert catalogue()["loss"] == SIGNALS[0]
    catalogue().clear()
    assert catalogue()["loss"] == SIGNALS[0]


def test_probes_measure_every_input_of_the_detectors() -> None:
    measured = {name for probe in discover("ganwatch.probes", Probe) for name in probe.signals}
    measured |= {name for name, signal in catalogue().items() if signal.group == "drift"}  # added by a callback
    measured |= {"dataset_size", "checkpoint_verified"}  # added by the session
    read = {name.partition("/")[0] for detector in discover("ganwatch.detectors", Detector) for name in detector.inputs}
    assert read <= measured
    own = {name for name, signal in catalogue().items() if signal.group == "observer"} | {"logged"}
    own |= {"d_output_spread"}  # recorded by other tools alone
    assert measured | own == set(catalogue())
