"""Which detectors judge, with which arguments: named by a person, read from a preset, or along the way from sensitive to strict."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError

Settings = Mapping[str, Mapping[str, float]]
"""Arguments by name, by code."""


def own_detectors() -> list[type[Detector]]:
    """Every detector of ganwatch."""
    return discover("ganwatch.detectors", Detector)  # type: ignore[type-abstract]  # the base is only compared with


def named_detectors(texts: Sequence[str]) -> list[type[Detector]]:
    """The detectors that a person names.

    Parameters
    ----------
    texts : sequence of str
        Codes of ganwatch's own, or ``package.module:attribute``, a Detector class or a sequence of them.

    Raises
    ------
    UserError
        There is no such detector, or two have one code.

    Examples
    --------
    >>> [cls.__name__ for cls in named_detectors(["GW101", "ganwatch.detectors.non_finite:NonFinite"])]
    ['ModeCollapse', 'NonFinite']
    """
    own = {cls.code: cls for cls in own_detectors()}
    found: list[type[Detector]] = []
    for text in texts:
        if ":" in text:
            found += _imported(text)
        elif text in own:
            found.append(own[text])
        else:
            raise UserError(f"detectors must be codes ({', '.join(sorted(own))}) or package.module:attribute, got {text!r}")
    codes = [cls.code for cls in found]
    if twice := sorted({code for code in codes if codes.count(code) > 1}):
        raise UserError(f"detectors must have codes of their own, got several with {', '.join(twice)}")
    return found


def _imported(text: str) -> list[type[Detector]]:
    module, _, attribute = text.partition(":")
    try:
        given = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"detectors must name an importable package.module:attribute, got {text!r}: {error}") from error
    classes = list(given) if isinstance(given, Iterable) else [given]
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Detector)):
            raise UserError(f"detectors must be Detector classes or a sequence of them, got {cls!r} from {text!r}")
    return classes


def made(classes: Sequence[type[Detector]], settings: Settings | None = None, origin: str = "settings") -> list[Detector]:
    """One of each class, with its arguments.

    Parameters
    ----------
    classes : sequence of Detector classes
    settings : mapping, optional
        Arguments by code; the rest stays as shipped.
    origin : str
        What an error calls them.

    Raises
    ------
    UserError
        A code or an argument does not exist, or a value is refused.
    """
    settings = settings or {}
    codes = {cls.code for cls in classes}
    if unknown := sorted(set(settings) - codes):
        raise UserError(f"{origin} must name detectors that there are ({', '.join(sorted(codes))}), got {', '.join(unknown)}")
    return [_made(cls, settings.get(cls.code, {}), origin) for cls in classes]


def _made(cls: type[Detector], arguments: Mapping[str, float], origin: str) -> Detector:
    accepted = defaults(cls)
    for name, value in arguments.items():
        if name not in accepted:
            there = ", ".join(accepted) or "none"
            raise UserError(f"{origin} must give {cls.code} ({cls.__name__}) arguments that it has ({there}), got {name!r}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{origin} must give {cls.code} a finite number as {name}, got {value!r}")
        if isinstance(accepted[name], int) and not isinstance(value, int):
            raise UserError(f"{origin} must give {cls.code} a whole number as {name}, got {value!r}")
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{origin} gives {cls.code} ({cls.__name__}) what it refuses: {error}") from error


def defaults(cls: type[Detector]) -> dict[str, Any]:
    """The arguments of a detector with their defaults."""
    return {name: one.default for name, one in inspect.signature(cls).parameters.items()}


def setting(cls: type[Detector], strictness: float) -> dict[str, float]:
    """The tunable arguments of a detector at a strictness.

    Parameters
    ----------
    cls : Detector class
    strictness : float in [-1, 1]
        -1 is the sensitive end of each argument, 0 as shipped, 1 the strict end. Between them arguments move by ratio where both are
        positive, else evenly.

    Examples
    --------
    >>> from ganwatch.detectors.bad_batch import BadBatch
    >>> [setting(BadBatch, strictness)["share"] for strictness in (-1.0, 0.0, 1.0)] == [
    ...     BadBatch.tunable["share"][0], BadBatch().share, BadBatch.tunable["share"][1]]
    True
    """
    if not -1.0 <= strictness <= 1.0:
        raise ValueError(f"strictness must be in [-1, 1], got {strictness}")
    shipped = defaults(cls)
    return {
        name: _between(shipped[name], strict if strictness > 0.0 else sensitive, abs(strictness))
        for name, (sensitive, strict) in cls.tunable.items()
    }


def _between(start: float, end: float, part: float) -> float:
    if part in {0.0, 1.0}:
        value = end if part else start
    else:
        value = start * (end / start) ** part if start > 0.0 and end > 0.0 else start + part * (end - start)
    return round(value) if isinstance(start, int) else float(f"{value:.6g}")


def changed(detectors: Iterable[Detector]) -> dict[str, dict[str, float]]:
    """By code, the tunable arguments that are not as shipped; what a run is judged by belongs to its provenance.

    >>> from ganwatch.detectors.bad_batch import BadBatch
    >>> changed([BadBatch(share=0.25)])
    {'GW502': {'share': 0.25}}
    """
    found = {}
    for detector in detectors:
        shipped = defaults(type(detector))
        others = {name: getattr(detector, name, shipped[name]) for name in detector.tunable}
        found[detector.code] = {name: value for name, value in others.items() if value != shipped[name]}
    return {code: arguments for code, arguments in found.items() if arguments}


def read_preset(path: str | Path) -> dict[str, dict[str, float]]:
    """The arguments by code that a preset holds.

    Raises
    ------
    UserError
        The file cannot be read, or is no preset.
    """
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"preset must be a TOML file of ganwatch calibrate, got {str(path)!r}: {error}") from error
    detectors = content.get("detectors")
    if not isinstance(detectors, dict) or not all(isinstance(arguments, dict) for arguments in detectors.values()):
        raise UserError(f"preset must have a table [detectors.CODE] for each detector, got {', '.join(content) or 'nothing'} in {path}")
    return detectors


def write_preset(path: str | Path, settings: Settings, provenance: Mapping[str, str | int | float]) -> None:
    """Write arguments by code, and where they come from, as TOML; in place of a file that is there, once it is complete."""
    lines = ["# Arguments of detectors, for GanWatch(preset=…), watch(…, preset=…) and ganwatch replay --preset.", "", "[provenance]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in provenance.items()]
    for code, arguments in sorted(settings.items()):
        lines += ["", f"[detectors.{code}]", *(f"{name} = {json.dumps(value)}" for name, value in arguments.items())]
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(path)
