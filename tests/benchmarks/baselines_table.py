"""Published rules of others (``baselines/``, a tool a file) and ganwatch on the same recorded runs, against the same truth.

    python tests/benchmarks/baselines_table.py SOURCE …    # what ganwatch replay takes; facts say label, codes and onset of a run

Each rule judges alone. Of a failure that its authors claim to find, any alarm of the rule counts that does not come before the failure may
have begun; of ganwatch only one with the right code. ``any alarm`` asks less of all: some alarm on a failing run, whatever it says.

The measure of Gao and Li (Evolution of discriminator and generator gradients in GAN training: from fitting to collapse, TMLR 2025) is not
here: what its authors publish beside the paper says that it joins the gradients of both networks, not how, and the generator's gradient
with respect to its latents is not recorded.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from ganwatch.calibration.judged import Judged, judge_all
from ganwatch.calibration.rates import Share, failing, false_alarms, found, found_of
from ganwatch.commands._arguments import JOBS, RECORDINGS, select_sources
from ganwatch.commands._terminal import count_items, format_table
from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import create_detectors
from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError
from ganwatch.session.defaults import default_detectors

HEAD = ["DETECTOR", "FAILURE", "FOUND", "95% INTERVAL", "FALSE ALARMS IN 100,000", "95% INTERVAL", "HEALTHY RUNS FLAGGED", "95% INTERVAL"]
ANY = "any alarm"


def baselines() -> list[type[Detector]]:
    """The rules, sorted by tool."""
    return discover("baselines", Detector)


def rows(title: str, judged: Sequence[Judged], claims: Sequence[str] | None) -> Iterator[list[Any]]:
    """Of one detector: any alarm, with false alarms beside it, then failure by failure; ``claims`` None means by the right codes."""
    alarmed = [replace(one, codes=()) for one in judged if failing(one)]
    alarms = false_alarms(judged)
    low, high = alarms.interval
    rate = ["-", "-"] if alarms.rate is None else [f"{10 * alarms.rate:.3g}", f"{10 * low:.3g} to {10 * high:.3g}"]
    yield [title, ANY, *_share(found_of(ANY, alarmed).recall), *rate, *_share(alarms.flagged)]
    for one in found(judged) if claims is None else found([one for one in alarmed if one.label in claims]):
        yield ["", one.label, *_share(one.recall), "", "", "", ""]


def _share(share: Share) -> list[str]:
    low, high = share.interval
    return [f"{share.count} of {share.of}", f"{low:.2f} to {high:.2f}"] if share.of else ["-", "-"]


def main() -> int:
    """Parse, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[RECORDINGS, JOBS])
    parser.add_argument("sources", nargs="+", metavar="SOURCE")
    parser.add_argument("--label", help="what runs are that do not say it")
    args = parser.parse_args()
    rules = baselines()
    variants = [default_detectors, *(partial(create_detectors, [cls]) for cls in rules)]
    try:
        judged = list(count_items(judge_all(select_sources(args), variants, label=args.label, jobs=args.jobs), "runs"))
    except UserError as error:
        parser.error(str(error))
    names = [("ganwatch", None), *((cls.title, cls.claims) for cls in rules)]
    lines = [row for place, (title, claims) in enumerate(names) for row in rows(title, [run[place] for run in judged], claims)]
    left = sum(one.label != "healthy" and not failing(one) for one, *_ in judged)
    print(format_table(HEAD, lines))
    print(f"{len(judged)} runs, {left} of them in no rate because it is not known whether they are healthy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
