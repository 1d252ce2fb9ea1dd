"""Options that several commands share, as parent parsers, and what they select."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ganwatch.commands._parser import WholeNumber
from ganwatch.core.argument_checks import MAX_PORT, MAX_SEED, check_free_port, check_output_store
from ganwatch.core.errors import UserError

if TYPE_CHECKING:
    from ganwatch.core.detector import Detector
    from ganwatch.features.registry import ExtractorSpec
    from ganwatch.recordings.sources import Source

DISCRIMINATOR = "discriminator"
"""Name of the features of a checkpoint's own discriminator."""
FEATURE_NAMES = f"random-conv, pretrained, identity, FILE.pt2@SHA256, package.module:attribute, or {DISCRIMINATOR}, that of the checkpoint"
"""Names of extractors, for help texts."""
MAX_JOBS = 256
"""Largest number of processes."""
MAX_PIXELS = 4096
"""Largest side of a resized image."""
STORE_FORMS = "folder, SQLite file or SQLAlchemy URL"
"""Forms in which a store is named."""


def _parent() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(add_help=False)


STORE = _parent()
STORE.add_argument("--store", default="runs", metavar="STORE", help=f"{STORE_FORMS} that holds the runs (default: %(default)s)")

JSON = _parent()
JSON.add_argument("--json", action="store_true", help="print the result as JSON")

SEED = _parent()
SEED.add_argument("--seed", type=WholeNumber(0, MAX_SEED), default=0, help="seed of all random choices (default: %(default)s)")

PROMETHEUS = _parent()
PROMETHEUS.add_argument(
    "--prometheus-port",
    type=WholeNumber(0, MAX_PORT),
    metavar="PORT",
    help="export to Prometheus at this port of 127.0.0.1, 0 for any free one",
)

FEATURES = _parent()
FEATURES.add_argument("--features", metavar="NAME", help=f"{FEATURE_NAMES} (default: random-conv for images, the values of vectors)")
FEATURES.add_argument(
    "--trust", action="store_true", help="load FILE.pt2 without its SHA-256; loading a program may run code of whoever wrote the file"
)
FEATURES.add_argument(
    "--size",
    type=WholeNumber(1, MAX_PIXELS, "pixels"),
    metavar="PIXELS",
    help="side to which images are resized (default: the extractor's own)",
)

RECORDINGS = _parent()
RECORDINGS.add_argument("--store", metavar="STORE", help=f"{STORE_FORMS}; a SOURCE that is no path is then a run of this store")
RECORDINGS.add_argument(
    "--map", action="append", default=[], metavar="THEIRS=OURS", help="name of a series in the sources and here, such as errG=loss/g"
)
RECORDINGS.add_argument("--map-file", metavar="FILE", help="TOML file of such names, one per line: errG = 'loss/g'")

DETECTORS = _parent()
DETECTORS.add_argument(
    "--detectors", action="append", metavar="D", help="code or package.module:attribute, may be repeated (default: all of ganwatch)"
)

JOBS = _parent()
JOBS.add_argument(
    "--jobs", type=WholeNumber(1, MAX_JOBS, "processes"), default=1, metavar="N", help="number of processes (default: %(default)s)"
)


def check_run_places(args: argparse.Namespace) -> None:
    """Refuse a store or a port of ``STORE`` and ``PROMETHEUS`` that a training could not use.

    Raises
    ------
    UserError
        The store cannot be written, or the port is not free.
    """
    check_output_store("--store", args.store)
    check_free_port("--prometheus-port", args.prometheus_port)


def select_extractor(args: argparse.Namespace) -> ExtractorSpec:
    """Return the extractor that ``FEATURES`` describes, except the discriminator of a checkpoint.

    Raises
    ------
    UserError
        ``--trust`` goes with another extractor than a program in a file.
    """
    if not args.trust:
        name: str | None = args.features
        return name
    from ganwatch.features.registry import is_program, make_extractor

    if not is_program(args.features or ""):
        raise UserError(f"--trust must go with --features FILE.pt2, a program in a file, got --features {args.features}")
    return lambda given: make_extractor(args.features, size=args.size, input_range=given, seed=args.seed, trust=True)


def select_sources(args: argparse.Namespace) -> list[Source]:
    """Open the sources that ``RECORDINGS`` describes.

    Raises
    ------
    UserError
        An argument breaks a rule, or a source cannot be opened.
    """
    from ganwatch.recordings.series_names import read_series_names
    from ganwatch.recordings.sources import open_sources

    return open_sources(args.sources, names=read_series_names(args.map, args.map_file), store=args.store)


def select_detectors(args: argparse.Namespace) -> list[type[Detector]]:
    """Return the detectors that ``--detectors`` names, or all of ganwatch."""
    from ganwatch.core.detector_settings import discover_detectors, find_detectors

    return discover_detectors() if args.detectors is None else find_detectors(args.detectors)
