"""Entrance for all supported data: ``open_source`` makes them readable by index."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import exists, is_folder
from ganwatch.data.arrays import SUFFIXES, open_arrays, open_file
from ganwatch.data.bundled import BUNDLED, open_bundled
from ganwatch.data.datasets import import_dataset, open_dataset, open_loader
from ganwatch.data.folder import open_folder
from ganwatch.data.source import Source, is_tensor
from ganwatch.data.urls import open_url

SUPPORTED_SOURCES = f"a folder of images, an .npy or .npz file, a URL of either, {', '.join(BUNDLED)}, or package.module:attribute"
_PART = re.compile(rf"({'|'.join(BUNDLED)})(?::([0-9]{{1,9}})/([0-9]{{1,9}}))?")


def open_source(data: Any, argument: str = "data") -> Source:
    """Make any supported data readable by index.

    Parameters
    ----------
    data : Dataset, DataLoader, tensor, ndarray, pair of arrays, path, URL, or name
        A name is ``digits``, ``ring`` or ``grid``; one of n disjoint random parts of these, such as ``digits:1/3``; or
        ``package.module:attribute``, a dataset or a callable that returns one.
    argument : str
        Name of the data in errors.

    Raises
    ------
    UserError
        The data are empty, do not exist, or are not supported.
    NotIndexableError
        The data can only be iterated.

    Examples
    --------
    >>> [open_source(f"digits:{part}/3").size for part in (1, 2, 3)]
    [599, 599, 599]
    """
    source = _open(data, argument)
    if source.size == 0:
        raise UserError(f"{argument} must hold at least one item, got an empty {source.name}")
    return source


def _open(data: Any, argument: str) -> Source:
    if isinstance(data, str | Path):
        return _open_name(data, argument)
    if isinstance(data, np.ndarray) or is_tensor(data):
        return open_arrays(data, None, type(data).__name__, argument)
    if isinstance(data, tuple) and len(data) == 2 and all(isinstance(part, np.ndarray) or is_tensor(part) for part in data):
        return open_arrays(data[0], data[1], "arrays", argument)
    if hasattr(data, "dataset") and hasattr(data, "batch_size") and not hasattr(data, "__getitem__"):
        return open_loader(data, argument)
    return open_dataset(data, argument)


def _open_name(data: str | Path, argument: str) -> Source:
    name = str(data)
    if not name:
        raise UserError(f"{argument} must be an existing path, or {SUPPORTED_SOURCES}, got an empty text")
    if match := _PART.fullmatch(name):
        return _open_part(name, argument, *match.groups())
    if "://" in name:
        return open_url(name, argument)
    path = Path(data)
    if is_folder(path):
        return open_folder(path, argument)
    if exists(path):
        if path.suffix not in SUFFIXES:
            raise UserError(f"{argument} must be {SUPPORTED_SOURCES}, got {show_value(name)}")
        return open_file(path, path.name, argument)
    if re.fullmatch(r"[\w.]+:[\w.]+", name):
        return replace(_open(import_dataset(name, argument), argument), name=name)
    raise UserError(f"{argument} must be an existing path, or {SUPPORTED_SOURCES}, got {show_value(name)}")


def _open_part(name: str, argument: str, bundled: str, part: str | None, parts: str | None) -> Source:
    source = open_bundled(bundled, argument)
    if part is None or parts is None:
        return source
    if not 1 <= int(part) <= int(parts) <= source.size:
        raise UserError(f"{argument} must name part 1 to n of n, n at most {source.size:,}, as in {bundled}:1/2, got {show_value(name)}")
    rows = np.sort(np.random.default_rng(0).permutation(source.size)[int(part) - 1 :: int(parts)]).tolist()
    labels = None if source.labels is None else [source.labels[row] for row in rows]
    return replace(
        source, name=name, size=len(rows), labels=labels, read=lambda index: source.read(rows[index]), locate=lambda index: int(rows[index])
    )
