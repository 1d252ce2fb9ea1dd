"""``ganwatch gate CANDIDATE BASELINE --real R``: compare a candidate with a baseline before it takes its place."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.commands._arguments import DISCRIMINATOR, FEATURES, JSON, SEED, STORE, select_extractor
from ganwatch.commands._parser import WholeNumber, finite_number
from ganwatch.commands._terminal import SampleProgress, print_table, print_text
from ganwatch.core.argument_checks import MAX_COUNT, check_output_file
from ganwatch.core.errors import UserError
from ganwatch.core.files import exists

if TYPE_CHECKING:
    from ganwatch.data.sample_format import SampleStream
    from ganwatch.gate.gate import GateResult

HELP = (
    "compare a candidate with a baseline on held-out real samples; exit code 0 the candidate is not worse, 20 it is worse, "
    "3 more samples are needed to know"
)
PARENTS = (STORE, FEATURES, SEED, JSON)
GENERATOR = "checkpoint of ganwatch train, checkpoint for --sampler, MODEL@VERSION, or samples in the forms of R"
"""Forms of a generator, for help texts."""
DATA = "folder of images, .npy or .npz file, URL, digits, ring, grid, a part such as digits:1/2, or package.module:attribute"
"""Forms of real samples, for help texts."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the generators, the real samples and the options of the comparison."""
    parser.add_argument("candidate", metavar="CANDIDATE", help=GENERATOR)
    parser.add_argument("baseline", metavar="BASELINE", help="version to compare with, in the same forms")
    parser.add_argument("--real", required=True, metavar="R", help=f"real samples that neither was trained on: {DATA}")
    parser.add_argument("--training", metavar="T", help="samples that CANDIDATE was trained on, like R; copies of them are counted")
    parser.add_argument("--sampler", metavar="F", help="package.module:function(states, count, seed) that draws from both checkpoints")
    parser.add_argument(
        "--samples", type=WholeNumber(1, MAX_COUNT), metavar="N", help="samples of each generator (default: as many as R has, at most 5000)"
    )
    parser.add_argument(
        "--margin", type=finite_number, default=0.05, metavar="SHARE", help="share of the baseline's distance by which it may be worse"
    )
    parser.add_argument(
        "--level", type=finite_number, default=0.01, metavar="P", help="probability of passing a candidate that is worse by the margin"
    )
    parser.add_argument(
        "--range", nargs=2, type=finite_number, metavar=("LOW", "HIGH"), help="range of floating-point images without a stated one"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write an HTML page with the result and samples side by side")


def run(args: argparse.Namespace) -> int:
    """Print the result; the exit code gives the outcome."""
    _check_arguments(args)
    from ganwatch.evaluation.sides import extract_sides
    from ganwatch.features.cache import FeatureCache
    from ganwatch.gate.gate import compare_versions

    versions = {side: one for side in ("candidate", "baseline") if (one := _find_version(args.store, getattr(args, side)))}
    for side, one in versions.items():
        setattr(args, side, one.path)
    sides = _open_sides(args)
    value_range = tuple(args.range) if args.range else None
    with SampleProgress() as progress:
        extract = partial(
            extract_sides,
            features=_select_features(args, sides),
            size=args.size,
            value_range=value_range,
            seed=args.seed,
            cache=FeatureCache(),
            progress=None if args.json else progress,
        )
        result = compare_versions(sides, extract, margin=args.margin, level=args.level, seed=args.seed)
    if args.page is not None:
        from ganwatch.gate.page import write_page

        try:
            write_page(result, args.page)
        except OSError as error:
            print_text(f"ganwatch gate: the page could not be written: {error}", file=sys.stderr)
    if args.json:
        print(json.dumps(result.as_dict(), allow_nan=False))
    else:
        _print_result(result, args.page)
    if len(versions) == 2 and len({one.model for one in versions.values()}) == 1:
        try:
            _record(args.store, versions, result)
        except UserError as error:
            print_text(f"ganwatch gate: the result is not in the audit log: {error}", file=sys.stderr)
    return result.outcome.exit_code


def _check_arguments(args: argparse.Namespace) -> None:
    if args.range and not args.range[0] < args.range[1]:
        raise UserError(f"--range must be LOW HIGH with LOW < HIGH, got {args.range[0]:g} {args.range[1]:g}")
    if args.margin <= 0.0:
        raise UserError(f"--margin must be > 0 (share of the baseline's distance), got {args.margin:g}")
    if not 0.0 < args.level < 0.5:
        raise UserError(f"--level must be in (0, 0.5), got {args.level:g}")
    if args.page is not None:
        check_output_file("--page", args.page, makes_folder=True)


@dataclass(frozen=True)
class _Version:
    model: str
    number: int
    path: str


def _find_version(store: str, text: str) -> _Version | None:
    """Find ``MODEL@VERSION``; None for anything else."""
    model, separator, which = text.rpartition("@")
    if not separator or "/" in text or Path(text).exists():
        return None
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store.database import open_store

    with open_store(store, create=False) as opened:
        registry = ModelRegistry(opened)
        return _Version(model, registry.find(model, which).version.version, str(registry.resolve(model, which)))


def _record(store: str, versions: Mapping[str, _Version], result: GateResult) -> None:
    """Write the result to the audit log of the model."""
    from ganwatch.models.registry import ModelRegistry
    from ganwatch.store.database import open_store
    from ganwatch.store.rows import writable

    candidate, baseline = versions["candidate"], versions["baseline"]
    plain = result.as_dict() | {"provenance": {"extractor": result.provenance["extractor"], "seed": result.provenance["seed"]}}
    with writable(store), open_store(store) as opened:
        ModelRegistry(opened).record_gate(candidate.model, candidate.number, baseline.number, plain, actor="ganwatch gate")


def _open_sides(args: argparse.Namespace) -> list[SampleStream]:
    """Open all sides, the real samples first: they give the number of samples of the others."""
    from ganwatch.data.batches import SampleBatches
    from ganwatch.gate.gate import BASELINE, CANDIDATE, REAL, TRAINING

    limit = args.samples or 5000
    real = SampleBatches(args.real, limit=max(limit, 5000), seed=args.seed, argument=REAL)
    count = args.samples or real.sample_size
    sides: list[SampleStream] = [
        real, *(_open_generator(args, data, side, count) for side, data in ((CANDIDATE, args.candidate), (BASELINE, args.baseline)))
    ]  # fmt: skip
    if args.training is not None:
        sides.append(SampleBatches(args.training, limit=50_000, seed=args.seed, argument=TRAINING))
    return sides


def _open_generator(args: argparse.Namespace, data: str, side: str, count: int) -> SampleStream:
    from ganwatch.data.batches import SampleBatches

    if args.sampler is not None:
        from ganwatch.gate.sampler import SampledCheckpoint

        return SampledCheckpoint(data, args.sampler, count=count, seed=args.seed, argument=side)
    if exists(Path(data) / "manifest.json"):
        raise UserError(f"--sampler must be given for a checkpoint of a loop of your own, got {side} {data!r} without it")
    if data.endswith((".ckpt", ".pt", ".pth")):
        from ganwatch.trainer.checkpoint import GeneratedBatches

        return GeneratedBatches(data, count=count, seed=args.seed, argument=side)
    return SampleBatches(data, limit=count, seed=args.seed, argument=side)


def _select_features(args: argparse.Namespace, sides: Sequence[SampleStream]) -> Any:
    """Return the name, or a factory of the features of the baseline's discriminator."""
    if args.features != DISCRIMINATOR:
        return select_extractor(args)
    if args.size or not hasattr(sides[2], "discriminator_features"):
        raise UserError(f"--features {DISCRIMINATOR} needs a checkpoint of ganwatch train as BASELINE, and goes without --size")
    return sides[2].discriminator_features


def _print_result(result: GateResult, page: Path | None) -> None:
    samples = result.provenance["samples"]
    print_text(f"{result.outcome}: {samples['CANDIDATE']['name']} against {samples['BASELINE']['name']}")
    print_table(["CHECK", "OUTCOME", "REASON"], [[check.name, str(check.outcome), check.reason] for check in result.checks])
    counts = ", ".join(f"{report['read']:,} samples of {side}" for side, report in samples.items())
    print_text(f"{counts}; features: {result.provenance['extractor']['name']}; margin {result.margin:.1%}, level {result.level:g}")
    if result.pairing == "none":
        print_text("candidate and baseline are not paired; the same latents for both would make the interval shorter")
    if page is not None:
        print_text(f"page: {page.absolute()}")
