"""Measures of sample quality as ``torchmetrics.Metric``, usable alone; imported when they are asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "Coverage": "coverage",
    "Density": "coverage",
    "DifferentBins": "bins",
    "FrechetDistance": "frechet",
    "GroupShares": "shares",
    "InceptionScore": "inception",
    "KernelDistance": "kernel",
    "LabelAgreement": "conditioning",
    "Memorisation": "memorisation",
    "MissingKinds": "kinds",
    "OwnMeasure": "own",
    "PairSimilarity": "ms_ssim",
    "Precision": "coverage",
    "Recall": "coverage",
    "VendiRatio": "vendi",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_MODULES)
