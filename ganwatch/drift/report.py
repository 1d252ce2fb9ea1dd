"""A report for people: Evidently on the interpretable columns, as an HTML file. It shows, and decides no alarm."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ganwatch.core.errors import UserError
from ganwatch.drift.columns import LABEL, Columns

MOST = 50
"""Columns in a report at most, as each is a plot; the surest to have moved come first."""
_ROWS = 2000


def write_report(baseline: Columns, fresh: Columns, path: str | Path, *, first: tuple[str, ...] = ()) -> Path:
    """Write Evidently's data drift report.

    Parameters
    ----------
    baseline, fresh : dict of str to (N,) array
        From ``columns_of``.
    path : path
        Of the HTML file, 4 MB; folders above it are made.
    first : tuple of str
        Columns that have to be in the report, where there are more than 50.

    Raises
    ------
    UserError
        Evidently is not installed, or the file cannot be written.
    """
    os.environ["DO_NOT_TRACK"] = "1"
    target = Path(path)
    with _quiet():
        try:
            import pandas as pd
            from evidently import DataDefinition, Dataset, Report
            from evidently.presets import DataDriftPreset
        except ImportError as error:
            raise UserError(f'a report needs evidently, which is not installed ({error}): pip install "ganwatch[drift]"') from None
        shared = [name for name in baseline if name in fresh]
        names = [*(name for name in first if name in shared), *(name for name in shared if name not in first)][:MOST]
        definition = DataDefinition(
            numerical_columns=[name for name in names if name != LABEL], categorical_columns=[name for name in names if name == LABEL]
        )
        sides = [Dataset.from_pandas(pd.DataFrame(_rows(side, names)), data_definition=definition) for side in (fresh, baseline)]
        snapshot = Report([DataDriftPreset()]).run(*sides)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            snapshot.save_html(str(target))
        except OSError as error:
            raise UserError(f"report must be a file that can be written, got {str(target)!r}: {error.strerror}") from None
    return target


def _rows(columns: Columns, names: list[str]) -> Columns:
    """The same number of values of each column, at most 2,000."""
    count = min(len(columns[name]) for name in names)
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:_ROWS])
    return {name: columns[name][chosen] for name in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Evidently and what it stands on warn about each other and divide by zero in plots."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
