"""Table of published rules (``baselines/``, one file per tool) and ganwatch on the same recorded runs, against the same truth.

    python tests/benchmarks/baselines_table.py SOURCE …    # sources of ganwatch replay whose facts have label, codes and onset

Each rule runs alone. On a failure that its authors claim to find, any alarm of the rule counts that does not come before the failure may
have begun. An alarm of ganwatch counts only with a correct code. ``any alarm`` asks less of all: any alarm on a failing run.

The measure of Gao and Li (Evolution of discriminator and generator gradients in GAN training: from fitting to collapse, TMLR 2025) is not
here. Its publication says that it joins the gradients of both networks, but not how, and the gradient of the generator with respect to its
latents is not recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ganwatch.calibration.rates import Proportion, count_false_alarms, detection_rates, detection_rates_by_label, is_failing
from ganwatch.calibration.replayed_runs import ReplayedRun, replay_runs
from ganwatch.commands._arguments import JOBS, RECORDINGS, select_sources
from ganwatch.commands._terminal import count_items, format_table
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import create_detectors
from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError
from ganwatch.session.defaults import default_detectors

HEAD = ["DETECTOR", "FAILURE", "FOUND", "95% INTERVAL", "FALSE ALARMS IN 100,000", "95% INTERVAL", "HEALTHY RUNS FLAGGED", "95% INTERVAL"]
ANY = "any alarm"


def discover_baselines() -> list[type[Detector]]:
    """Return the rules, sorted by tool."""
    return discover("baselines", Detector)


def table_rows(title: str, runs: Sequence[ReplayedRun], claims: Sequence[str] | None) -> Iterator[list[Any]]:
    """Yield the rows of one detector: any alarm with false alarms, then each failure. ``claims`` None stands for the correct codes."""
    failing = [replace(run, codes=()) for run in runs if is_failing(run)]
    false_alarms = count_false_alarms(runs)
    low, high = false_alarms.interval
    rate = ["-", "-"] if false_alarms.rate is None else [f"{10 * false_alarms.rate:.3g}", f"{10 * low:.3g} to {10 * high:.3g}"]
    yield [title, ANY, *_cells(detection_rates(ANY, failing).recall), *rate, *_cells(false_alarms.flagged)]
    claimed = runs if claims is None else [run for run in failing if run.label in claims]
    for one in detection_rates_by_label(claimed):
        yield ["", one.label, *_cells(one.recall), "", "", "", ""]


def _cells(proportion: Proportion) -> list[str]:
    low, high = proportion.interval
    return [f"{proportion.count} of {proportion.total}", f"{low:.2f} to {high:.2f}"] if proportion.total else ["-", "-"]


def main() -> int:
    """Replay the sources and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[RECORDINGS, JOBS])
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--label", help="label of runs whose facts have none")
    args = parser.parse_args()
    rules = discover_baselines()
    factories = [default_detectors, *(partial(create_detectors, [cls]) for cls in rules)]
    try:
        replayed = list(count_items(replay_runs(select_sources(args), factories, label=args.label, jobs=args.jobs), "runs"))
    except UserError as error:
        parser.error(str(error))
    names = [("ganwatch", None), *((cls.title, cls.claims) for cls in rules)]
    lines = [
        row for position, (title, claims) in enumerate(names) for row in table_rows(title, [run[position] for run in replayed], claims)
    ]
    undetermined = sum(run.label != "healthy" and not is_failing(run) for run, *_ in replayed)
    print(format_table(HEAD, lines))
    print(f"{len(replayed)} runs; {undetermined} of them are in no rate because they are not known to be healthy or failing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
