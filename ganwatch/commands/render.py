"""``ganwatch render``: write or check the alert files that are rendered from the detectors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ganwatch.commands._terminal import print_text

if TYPE_CHECKING:
    import argparse

HELP = "write the alert rules, their tests and the runbooks from the detectors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--check", action="store_true", help="write nothing; name the files that are out of date, with exit code 1")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the alert files (default: alerts/ of this checkout)")
    parser.add_argument("--runbook-base", metavar="URL", help="prefix of runbook links (default: the path in the checkout)")


def run(args: argparse.Namespace) -> int:
    """Write the files, or compare them with --check."""
    import ganwatch
    from ganwatch.alerting import render
    from ganwatch.core.detector import Detector
    from ganwatch.core.discovery import discover
    from ganwatch.core.errors import UserError, show_value
    from ganwatch.core.files import is_folder

    folder = args.output or Path(ganwatch.__path__[0]).parent / "alerts"
    if not is_folder(folder):
        raise UserError(f"--output must be a folder that exists (outside a checkout there is no default), got {show_value(str(folder))}")
    detectors = discover("ganwatch.detectors", Detector)  # type: ignore[type-abstract]  # a base to look for
    rendered = render.render_files(detectors, base=args.runbook_base or render.RUNBOOK_BASE)
    differing = render.outdated_files(rendered, folder)
    if args.check:
        for path in differing:
            print_text(f"{folder / path} is not up to date: run `ganwatch render`", file=sys.stderr)
        return int(bool(differing))
    for path in differing:
        target = folder / path
        try:
            if path in rendered:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(rendered[path], "utf-8")
            else:
                target.unlink()
        except OSError as error:
            raise UserError(f"--output must be a folder that can be written to, got {str(folder)!r}: {error.strerror}") from error
        print_text(str(target))
    return 0
