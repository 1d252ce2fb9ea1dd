"""Choice of detectors and of their arguments: by name, from a preset, or between sensitive and strict."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganwatch.core.detector import Detector
from ganwatch.core.discovery import discover, discover_installed
from ganwatch.core.errors import UserError, show_names, show_value
from ganwatch.core.files import read_toml
from ganwatch.core.import_path import import_attribute
from ganwatch.core.names import name_failure

log = logging.getLogger("ganwatch")

MAX_ARGUMENT = 1e9
"""Largest argument of a detector."""
MAX_WHOLE = 100_000
"""Largest whole number, such as a window in steps; the work of a step grows with it."""
Settings = Mapping[str, Mapping[str, float]]
"""Arguments by name, by the detector's code."""


def discover_detectors() -> list[type[Detector]]:
    """Return every detector of ganwatch and of other installed packages; of two with the same code, that of ganwatch."""
    own = discover("ganwatch.detectors", Detector)  # type: ignore[type-abstract]  # the base is only compared with
    by_code = {cls.code: cls for cls in own}
    for cls in discover_installed("ganwatch.detectors", Detector):  # type: ignore[type-abstract]  # as above
        try:
            cls()
        except Exception:
            log.exception("detector %s cannot be created without arguments and is left out", cls.__qualname__)
        else:
            if by_code.setdefault(cls.code, cls) is not cls:
                name = name_failure(by_code[cls.code].title, cls.code)
                log.warning("detector %s must have a code of its own, got that of %s; it is left out", cls.__qualname__, name)
    return list(by_code.values())


def failure_names(classes: Iterable[type[Detector]] | None = None) -> dict[str, str]:
    """Return by code the name of the failure that each detector finds; without ``classes`` of every discovered one.

    >>> failure_names()["GW101"]
    'mode collapse (GW101)'
    """
    return {cls.code: name_failure(cls.title, cls.code) for cls in (discover_detectors() if classes is None else classes)}


def find_detectors(texts: Sequence[str]) -> list[type[Detector]]:
    """Return the detectors that a person names.

    Parameters
    ----------
    texts : sequence of str
        Codes of discovered detectors, or ``package.module:attribute``, a Detector class or a sequence of them.

    Raises
    ------
    UserError
        A detector does not exist, or two have the same code.

    Examples
    --------
    >>> [cls.__name__ for cls in find_detectors(["GW101", "ganwatch.detectors.non_finite:NonFinite"])]
    ['ModeCollapse', 'NonFinite']
    """
    own = {cls.code: cls for cls in discover_detectors()}
    classes: list[type[Detector]] = []
    for text in texts:
        if ":" in text:
            classes += _import_detectors(text)
        elif text in own:
            classes.append(own[text])
        else:
            names = ", ".join(name for _, name in sorted(failure_names(own.values()).items()))
            raise UserError(f"detectors must be codes or package.module:attribute, got {show_value(text)}; the codes are those of {names}")
    codes = [cls.code for cls in classes]
    if repeated := sorted({name_failure(cls.title, cls.code) for cls in classes if codes.count(cls.code) > 1}):
        raise UserError(f"detectors must have different codes, got several of {', '.join(repeated)}")
    return classes


def _import_detectors(text: str) -> list[type[Detector]]:
    value = import_attribute(text, "detectors")
    classes = list(value) if isinstance(value, Sequence) else [value]
    for cls in classes:
        if not (isinstance(cls, type) and issubclass(cls, Detector)):
            raise UserError(f"detectors must be Detector classes or a sequence of them, got {cls!r} from {text!r}")
    return classes


def create_detectors(classes: Sequence[type[Detector]], settings: Settings | None = None, origin: str = "settings") -> list[Detector]:
    """Create one detector of each class.

    Parameters
    ----------
    classes : sequence of Detector classes
    settings : mapping, optional
        Arguments by code. All others keep their defaults.
    origin : str
        Name of the settings in an error message.

    Raises
    ------
    UserError
        A code or an argument does not exist, or a detector refuses a value.
    """
    settings = settings or {}
    names = failure_names(classes)
    if unknown := sorted(set(settings) - set(names)):
        known = ", ".join(name for _, name in sorted(names.items()))
        raise UserError(f"{origin} must name existing detectors, got {show_names(unknown)}; there are {known}")
    return [_create_detector(cls, settings.get(cls.code, {}), origin) for cls in classes]


def _create_detector(cls: type[Detector], arguments: Mapping[str, float], origin: str) -> Detector:
    defaults, failure = default_arguments(cls), name_failure(cls.title, cls.code)
    for name, value in arguments.items():
        if name not in defaults:
            accepted = ", ".join(defaults) or "none"
            raise UserError(f"{origin} must give {failure} existing arguments ({accepted}), got {show_value(name)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_ARGUMENT:
            raise UserError(f"{origin} must give {failure} a finite number of at most {MAX_ARGUMENT:g} as {name}, got {show_value(value)}")
        if isinstance(defaults[name], int) and not isinstance(value, int):
            raise UserError(f"{origin} must give {failure} a whole number as {name}, got {show_value(value)}")
        if isinstance(defaults[name], int) and abs(value) > MAX_WHOLE:
            raise UserError(f"{origin} must give {failure} a whole number of at most {MAX_WHOLE:,} as {name}, got {value}")
    try:
        return cls(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{origin} must give {failure} valid arguments: {error}") from error


def default_arguments(cls: type[Detector]) -> dict[str, Any]:
    """Return the arguments of a detector with their defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}


def arguments_at(cls: type[Detector], strictness: float) -> dict[str, float]:
    """Return the tunable arguments of a detector at a strictness.

    Parameters
    ----------
    cls : Detector class
    strictness : float in [-1, 1]
        -1 is the sensitive end of each argument, 0 its default, 1 the strict end. Between these, arguments are interpolated
        geometrically if both ends are positive, else linearly.

    Examples
    --------
    >>> from ganwatch.detectors.bad_batch import BadBatch
    >>> [arguments_at(BadBatch, strictness)["max_share"] for strictness in (-1.0, 0.0, 1.0)] == [
    ...     BadBatch.tunable["max_share"][0], BadBatch().max_share, BadBatch.tunable["max_share"][1]]
    True
    """
    if not -1.0 <= strictness <= 1.0:
        raise ValueError(f"strictness must be in [-1, 1], got {strictness}")
    defaults = default_arguments(cls)
    return {
        name: _interpolate(defaults[name], strict if strictness > 0.0 else sensitive, abs(strictness))
        for name, (sensitive, strict) in cls.tunable.items()
    }


def _interpolate(start: float, end: float, weight: float) -> float:
    if weight in {0.0, 1.0}:
        value = end if weight else start
    else:
        value = start * (end / start) ** weight if start > 0.0 and end > 0.0 else start + weight * (end - start)
    return round(value) if isinstance(start, int) else float(f"{value:.6g}")


def non_default_arguments(detectors: Iterable[Detector]) -> dict[str, dict[str, float]]:
    """Return by code the tunable arguments that differ from their defaults. They are part of a run's provenance.

    >>> from ganwatch.detectors.bad_batch import BadBatch
    >>> non_default_arguments([BadBatch(max_share=0.25)])
    {'GW502': {'max_share': 0.25}}
    """
    changed = {}
    for detector in detectors:
        defaults = default_arguments(type(detector))
        arguments = {name: getattr(detector, name, defaults[name]) for name in detector.tunable}
        changed[detector.code] = {name: value for name, value in arguments.items() if value != defaults[name]}
    return {code: arguments for code, arguments in changed.items() if arguments}


def read_preset(path: str | Path) -> dict[str, dict[str, float]]:
    """Return the arguments by code of a preset.

    Raises
    ------
    UserError
        The file cannot be read or is not a preset.
    """
    content = read_toml(path, "preset", "a TOML file of ganwatch calibrate")
    detectors = content.get("detectors")
    if not isinstance(detectors, dict) or not all(isinstance(arguments, dict) for arguments in detectors.values()):
        raise UserError(f"preset must have a table [detectors.CODE] for each detector, got {show_names(content)} in {path}")
    return detectors


def write_preset(path: str | Path, settings: Settings, provenance: Mapping[str, str | int | float]) -> None:
    """Write arguments by code and their provenance as TOML. An existing file is replaced once the new one is complete."""
    lines = ["# Arguments of detectors, for GanWatch(preset=…), watch(…, preset=…) and ganwatch replay --preset.", "", "[provenance]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in provenance.items()]
    for code, arguments in sorted(settings.items()):
        lines += ["", f"[detectors.{code}]", *(f"{name} = {json.dumps(value)}" for name, value in arguments.items())]
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(path)
