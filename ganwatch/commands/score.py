"""``ganwatch score REAL FAKE``: how near generated samples come to real ones."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.data.sides import Side
    from ganwatch.metrics.estimate import Estimate

HELP = "measure how near generated samples come to real ones"
DISCRIMINATOR = "discriminator"
FEATURES = f"random-conv, pretrained, identity, FILE.pt2@SHA256, package.module:attribute, or {DISCRIMINATOR}, that of the checkpoint"
DATA = "folder of images, .npy or .npz file, URL, digits, ring, grid, a part such as digits:1/2, package.module:attribute, or checkpoint"
BAR = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("real", metavar="REAL", help=f"real samples: {DATA}")
    parser.add_argument("fake", metavar="FAKE", help="generated samples, likewise; a checkpoint draws as many as REAL has")
    parser.add_argument("--features", metavar="NAME", help=f"{FEATURES} (default: random-conv for images, the values of vectors)")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side to which images are resized (default: the extractor's own)")
    parser.add_argument("--range", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of floating-point images, where the data do not say")
    parser.add_argument("--samples", type=int, default=10_000, metavar="N", help="of each side at most, chosen by chance (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, help="decides everything that is drawn (default: 0)")
    parser.add_argument("--cache", metavar="FOLDER", help="keeps features, so that a stopped extraction goes on (default: in ~/.cache)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print the measures."""
    if args.samples < 1:
        raise UserError(f"--samples must be >= 1, got {args.samples}")
    if args.seed < 0:
        raise UserError(f"--seed must be >= 0, got {args.seed}")
    if args.range and not args.range[0] < args.range[1]:
        raise UserError(f"--range must be LOW HIGH with LOW < HIGH, got {args.range[0]:g} {args.range[1]:g}")
    from ganwatch.evaluation.score import score
    from ganwatch.features.cache import FeatureCache

    real, fake = _sides(args)
    found = score(
        real,
        fake,
        features=_features(args, fake, real),
        size=args.size,
        values=tuple(args.range) if args.range else None,
        seed=args.seed,
        cache=FeatureCache(args.cache),
        progress=Bar(),
    )
    print(json.dumps(found.as_dict(), allow_nan=False) if args.json else described(found.estimates, found.provenance))
    return 0


def _features(args: argparse.Namespace, *sides: Side) -> Any:
    """The name as it is, or what makes the features of the first side's discriminator that is a checkpoint."""
    if args.features != DISCRIMINATOR:
        return args.features
    found = next((side for side in sides if hasattr(side, "discriminator_features")), None)
    if found is None or args.size:
        raise UserError(f"--features {DISCRIMINATOR} needs a checkpoint of ganwatch train as REAL or FAKE, and goes without --size")
    return found.discriminator_features


def _sides(args: argparse.Namespace) -> tuple[Side, Side]:
    if all(map(_is_checkpoint, (args.real, args.fake))):
        return _drawn(args.real, "REAL", args.samples, args.seed), _drawn(args.fake, "FAKE", args.samples, args.seed + 1)
    from ganwatch.data.batches import SampleBatches

    sides: dict[str, Any] = {
        name: SampleBatches(data, limit=args.samples, seed=args.seed, argument=name)
        for name, data in (("REAL", args.real), ("FAKE", args.fake))
        if not _is_checkpoint(data)
    }
    for name, data in (("REAL", args.real), ("FAKE", args.fake)):
        if name not in sides:
            [other] = sides.values()
            sides[name] = _drawn(data, name, other.wanted, args.seed)
    return sides["REAL"], sides["FAKE"]


def _is_checkpoint(data: str) -> bool:
    return data.endswith((".ckpt", ".pt", ".pth"))


def _drawn(path: str, argument: str, count: int, seed: int) -> Side:
    from ganwatch.trainer.checkpoint import Generated

    return Generated(path, count=count, seed=seed, argument=argument)


def described(estimates: dict[str, Estimate], provenance: dict[str, Any]) -> str:
    """A table, and beneath it what it rests on and what was left out."""
    from ganwatch.commands.runs import table

    confidence = next(iter(estimates.values())).confidence
    head = ["MEASURE", "VALUE", f"{confidence:.0%} INTERVAL", "REAL AGAINST REAL"]
    rows = [[name, _shown(one.value), f"{_shown(one.low)} to {_shown(one.high)}", _shown(one.null)] for name, one in estimates.items()]
    lines = [table(head, rows), "", f"features: {provenance['extractor']['name']}"]
    for argument, report in provenance["samples"].items():
        words = [f"{argument}: {report['read']:,} samples of {report['name']}"]
        if argument in provenance["ranges"]:
            words.append("values from {:g} to {:g}".format(*provenance["ranges"][argument]))
        words += [f"{rule} in {count:,}" for rule, count in report["rules"].items()]
        words += [f"{report['skipped']:,} left out"] * bool(report["skipped"])
        words += ["averaged weights"] * report.get("averaged_weights", False)
        lines.append(", ".join(words))
        lines += [f"  {one['where']}: {one['reason']}" for one in report["list"][:10]]
        lines += [f"  and {report['skipped'] - 10:,} more (--json lists 1,000)"] * (report["skipped"] > 10)
    return "\n".join([*lines, *provenance["notes"]])


def _shown(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"


class Bar:
    """Progress on standard error: a bar on a terminal, elsewhere a line at every quarter."""

    def __init__(self) -> None:
        self._done: WeakKeyDictionary[Side, int] = WeakKeyDictionary()
        self._live = sys.stderr.isatty()

    def __call__(self, side: Side, count: int) -> None:
        """Draw that so many more samples have their features; those that were left out count as done."""
        before = self._done.get(side, 0)
        read = before + count
        self._done[side] = read
        done = read + side.report()["skipped"]
        words = f"{side.argument} {done:,}/{side.wanted:,} samples"
        if self._live:
            filled = round(BAR * done / side.wanted)
            print(f"\r{'█' * filled}{'░' * (BAR - filled)} {words}", end="\n" if done >= side.wanted else "", file=sys.stderr, flush=True)
        elif 4 * done // side.wanted > 4 * before // side.wanted:
            print(words, file=sys.stderr, flush=True)
