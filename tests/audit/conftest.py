import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.fixture(autouse=True)
def _quick_search(older_objects_hidden):
    """Every test here reads data."""


@pytest.fixture(scope="session")
def _loaded():
    digits = load_digits()
    return (digits.images / 8.0 - 1.0).astype(np.float32), digits.target


@pytest.fixture
def images(_loaded):
    """The 1,797 digits, (N, 8, 8) float32 in [-1, 1], free to be changed."""
    return _loaded[0].copy()


@pytest.fixture
def labels(_loaded):
    return _loaded[1].copy()


@pytest.fixture
def find_finding():
    """The finding of one check, or None."""

    def find(report, check):
        assert check in report.results
        found = [finding for finding in report.findings if finding.check == check]
        assert (report.results[check] == "finding") == bool(found)
        return found[0] if found else None

    return find
