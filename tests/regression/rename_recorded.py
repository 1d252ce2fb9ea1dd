"""Renames what recorded Parquet files name: series, keys of the facts beside them, and words in runs' names and facts.

``python tests/regression/rename_recorded.py kinds=modes key:kinds=modes text:lost-modes=lost-modes`` rewrites every recording of the
repository. A series is renamed by its family, whatever its label.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ganwatch.core.readings import Readings
from ganwatch.recordings import Recording, read_recordings, write_recordings

TESTS = Path(__file__).parents[1]
FOLDERS = (TESTS / "recorded", TESTS / "benchmarks" / "corpus" / "recorded", TESTS / "regression")
SERIES_KEYS = {"signal", "signals", "unused"}
"""Keys of facts whose values name series."""


@dataclass
class Renaming:
    """Old to new names."""

    series: dict[str, str] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, pairs: list[str]) -> Renaming:
        """
        >>> Renaming.parse(["kinds=modes", "key:kinds=modes"])
        Renaming(series={'kinds': 'modes'}, keys={'kinds': 'modes'}, texts={})
        """
        renaming = cls()
        for pair in pairs:
            old, _, new = pair.partition("=")
            what, colon, name = old.rpartition(":")
            {"": renaming.series, "key": renaming.keys, "text": renaming.texts}[what if colon else ""][name] = new
        return renaming

    def of_series(self, name: str) -> str:
        """
        >>> Renaming({"output_slope": "output_gradient"}).of_series("output_slope/g")
        'output_gradient/g'
        """
        family, slash, label = name.partition("/")
        return self.series.get(family, family) + slash + label

    def of_text(self, text: str) -> str:
        for old, new in self.texts.items():
            text = text.replace(old, new)
        return text

    def of_facts(self, value: Any, *, series: bool = False) -> Any:
        if isinstance(value, Mapping):
            rename = self.of_series if series else lambda key: self.keys.get(key, key)
            return {rename(key): self.of_facts(item, series=key in SERIES_KEYS) for key, item in value.items()}
        if isinstance(value, list):
            return [self.of_facts(item, series=series) for item in value]
        if isinstance(value, str):
            return self.of_series(value) if series else self.of_text(value)
        return value

    def of_recording(self, run: Recording) -> Recording:
        readings = [Readings(one.step, {self.of_series(name): value for name, value in one.values.items()}) for one in run.readings]
        return Recording(self.of_text(run.name), readings, self.of_facts(run.facts))


if __name__ == "__main__":
    given = Renaming.parse(sys.argv[1:])
    for folder in FOLDERS:
        for file in sorted(folder.glob("*.parquet")):
            write_recordings(file, [given.of_recording(run) for run in list(read_recordings(file))])
            print(file.relative_to(TESTS))
