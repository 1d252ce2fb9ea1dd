"""HTML report for people: Evidently on the interpretable columns. It decides no verdict."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ganwatch.core.clean_text import html_text
from ganwatch.core.errors import UserError
from ganwatch.drift.columns import LABEL, Columns

MAX_COLUMNS = 50
"""Largest number of columns in a report, as each is a plot; those with the smallest p-values come first."""
_MAX_ROWS = 2000
"""Largest number of rows in a report."""


def write_report(baseline: Columns, fresh: Columns, path: str | Path, *, first: tuple[str, ...] = ()) -> Path:
    """Write Evidently's data drift report.

    Parameters
    ----------
    baseline, fresh : dict of str to (N,) array
        From ``columns_of``.
    path : path
        Path of the HTML file, 4 MB; missing folders are created.
    first : tuple of str
        Columns that come first; they are in the report if there are more than 50.

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
        names = [*(name for name in first if name in shared), *(name for name in shared if name not in first)][:MAX_COLUMNS]
        definition = DataDefinition(
            numerical_columns=[name for name in names if name != LABEL], categorical_columns=[name for name in names if name == LABEL]
        )
        frames = [pd.DataFrame(_choose_rows(side, names)) for side in (fresh, baseline)]
        for frame in frames:
            if LABEL in frame:
                frame[LABEL] = frame[LABEL].map(html_text)
        sides = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
        snapshot = Report([DataDriftPreset()]).run(*sides)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            snapshot.save_html(str(target))
        except OSError as error:
            raise UserError(f"report must be a file that can be written, got {str(target)!r}: {error.strerror}") from None
    return target


def _choose_rows(columns: Columns, names: list[str]) -> Columns:
    """Choose the same number of values of each column, at most 2,000."""
    count = min(len(columns[name]) for name in names)
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:_MAX_ROWS])
    return {name: columns[name][chosen] for name in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings: Evidently and its dependencies warn about each other and divide by zero in plots."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
