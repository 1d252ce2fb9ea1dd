"""``ganwatch score REAL FAKE``: measure the distance of generated samples from real ones."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import DISCRIMINATOR, FEATURES, JSON, SEED, select_extractor
from ganwatch.commands._parser import WholeNumber, finite_number
from ganwatch.commands._terminal import SampleProgress, print_table, print_text
from ganwatch.core.argument_checks import MAX_COUNT, check_output_folder
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.data.sample_format import SampleStream
    from ganwatch.metrics.estimate import Estimate

HELP = "measure the distance of generated samples from real ones"
PARENTS = (FEATURES, SEED, JSON)
DATA = "folder of images, .npy or .npz file, URL, digits, ring, grid, a part such as digits:1/2, package.module:attribute, or checkpoint"
"""Forms of a side, for help texts."""
MAX_SKIPPED_SHOWN = 10
"""Largest number of skipped samples that are listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare both sides and the options of the measurement."""
    parser.add_argument("real", metavar="REAL", help=f"real samples: {DATA}")
    parser.add_argument("fake", metavar="FAKE", help="generated samples, in the same forms; a checkpoint draws as many as REAL has")
    parser.add_argument(
        "--range", nargs=2, type=finite_number, metavar=("LOW", "HIGH"), help="range of floating-point images without a stated one"
    )
    parser.add_argument(
        "--samples", type=WholeNumber(1, MAX_COUNT), default=10_000, metavar="N", help="largest number per side, at random (default: 10000)"
    )
    parser.add_argument("--cache", metavar="FOLDER", help="cache of features; with it a stopped extraction resumes (default: in ~/.cache)")


def run(args: argparse.Namespace) -> int:
    """Print the measures."""
    if args.range and not args.range[0] < args.range[1]:
        raise UserError(f"--range must be LOW HIGH with LOW < HIGH, got {args.range[0]:g} {args.range[1]:g}")
    if args.cache is not None:
        check_output_folder("--cache", args.cache)
    from ganwatch.evaluation.score import score
    from ganwatch.features.cache import FeatureCache

    real, fake = _open_sides(args)
    with SampleProgress() as progress:
        result = score(
            real,
            fake,
            features=_select_features(args, fake, real),
            size=args.size,
            value_range=tuple(args.range) if args.range else None,
            seed=args.seed,
            cache=FeatureCache(args.cache),
            progress=progress,
        )
    if args.json:
        print(json.dumps(result.as_dict(), allow_nan=False))
    else:
        _print_estimates(result.estimates)
        print_text("", *_describe_provenance(result.provenance))
    return 0


def _select_features(args: argparse.Namespace, *sides: SampleStream) -> Any:
    """Return the name, or a factory of the features of the first checkpoint's discriminator."""
    if args.features != DISCRIMINATOR:
        return select_extractor(args)
    checkpoint = next((side for side in sides if hasattr(side, "discriminator_features")), None)
    if checkpoint is None or args.size:
        raise UserError(f"--features {DISCRIMINATOR} needs a checkpoint of ganwatch train as REAL or FAKE, and goes without --size")
    return checkpoint.discriminator_features


def _open_sides(args: argparse.Namespace) -> tuple[SampleStream, SampleStream]:
    if all(map(_is_checkpoint, (args.real, args.fake))):
        real = _sample_checkpoint(args.real, "REAL", args.samples, args.seed)
        return real, _sample_checkpoint(args.fake, "FAKE", args.samples, args.seed + 1)
    from ganwatch.data.batches import SampleBatches

    sides: dict[str, Any] = {
        name: SampleBatches(data, limit=args.samples, seed=args.seed, argument=name)
        for name, data in (("REAL", args.real), ("FAKE", args.fake))
        if not _is_checkpoint(data)
    }
    for name, data in (("REAL", args.real), ("FAKE", args.fake)):
        if name not in sides:
            [other] = sides.values()
            sides[name] = _sample_checkpoint(data, name, other.sample_size, args.seed)
    return sides["REAL"], sides["FAKE"]


def _is_checkpoint(data: str) -> bool:
    return data.endswith((".ckpt", ".pt", ".pth"))


def _sample_checkpoint(path: str, argument: str, count: int, seed: int) -> SampleStream:
    from ganwatch.trainer.checkpoint import GeneratedBatches

    return GeneratedBatches(path, count=count, seed=seed, argument=argument)


def _print_estimates(estimates: dict[str, Estimate]) -> None:
    confidence = next(iter(estimates.values())).confidence
    head = ["MEASURE", "VALUE", f"{confidence:.0%} INTERVAL", "REAL AGAINST REAL"]
    rows = [
        [name, _format_number(one.value), f"{_format_number(one.low)} to {_format_number(one.high)}", _format_number(one.null)]
        for name, one in estimates.items()
    ]
    print_table(head, rows)


def _describe_provenance(provenance: dict[str, Any]) -> list[str]:
    """Describe the features, the samples read and the samples skipped."""
    lines = [f"features: {provenance['extractor']['name']}"]
    for argument, report in provenance["samples"].items():
        words = [f"{argument}: {report['read']:,} samples of {report['name']}"]
        if argument in provenance["ranges"]:
            words.append("values from {:g} to {:g}".format(*provenance["ranges"][argument]))
        words += [f"{rule} in {count:,}" for rule, count in report["rules"].items()]
        words += [f"{report['skipped']:,} left out"] * bool(report["skipped"])
        words += ["averaged weights"] * report.get("averaged_weights", False)
        lines.append(", ".join(words))
        lines += [f"  {one['location']}: {one['reason']}" for one in report["list"][:MAX_SKIPPED_SHOWN]]
        more = report["skipped"] - MAX_SKIPPED_SHOWN
        lines += [f"  and {more:,} more (--json lists 1,000)"] * (more > 0)
    return [*lines, *provenance["notes"]]


def _format_number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "unknown"
