"""Features on disk, found by the content of the samples."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.core.files import open_regular
from ganwatch.data.arrays import read_features
from ganwatch.features.extractor import Batch, tensor_bytes

_log = logging.getLogger("ganwatch")
_MAX_PARTIAL_AGE = 3600.0
"""Age of a partial file, in seconds, beyond which the process that wrote it must have died."""


class FeatureCache:
    """Cache of features: one ``.npy`` file per batch, named by a hash of the samples and of the extractor.

    A file is written under another name and then renamed, so it is complete or absent. Processes may share a folder, and one that is killed
    resumes where it was. When the folder grows beyond ``limit``, the files unused for longest are removed. Features that cannot be written
    are computed again.

    Parameters
    ----------
    folder : path or None
        None means ``ganwatch/features`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``.
    limit : int, bytes
        Maximum size of the folder; 2 GiB by default.
    """

    def __init__(self, folder: str | Path | None = None, *, limit: int = 2**31) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.folder = Path(base) / "ganwatch" / "features" if folder is None else Path(folder)
        self.limit = limit

    def get(self, key: str) -> Tensor | None:
        """Return the features ``(N, D)`` stored under a key, or None."""
        path = self._path(key)
        try:
            with open_regular(path, "cache") as file:
                features = read_features(file, str(path), "cache")
            os.utime(path)
        except (OSError, UserError):
            return None
        return torch.from_numpy(features)

    def put(self, key: str, features: Tensor) -> None:
        """Store features; a failure is logged."""
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, features.cpu().numpy(), allow_pickle=False)
                Path(partial).replace(path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
        except OSError as error:
            _log.warning("features are not stored in %s and will be computed again: %s", self.folder, error)

    def prune(self) -> None:
        """Remove the files unused for longest until the folder is within the limit, and partial files of killed processes."""
        stored: list[tuple[float, int, Path]] = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*/*"):
                with contextlib.suppress(OSError):  # another process removed it
                    status = path.stat()
                    if path.suffix == ".npy":
                        stored.append((status.st_mtime, status.st_size, path))
                    elif time.time() - status.st_mtime > _MAX_PARTIAL_AGE:
                        path.unlink()
        total = sum(size for _, size, _ in stored)
        for _, size, path in sorted(stored):
            if total <= self.limit:
                return
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
                total -= size

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}.npy"


def content_key(samples: Batch, extractor: str) -> str:
    """Return a hash of samples, their types and shapes, and of an extractor's hash."""
    value = hashlib.sha256(extractor.encode())
    for one in [samples] if isinstance(samples, Tensor) else samples:
        value.update(f" {one.dtype} {tuple(one.shape)} ".encode())
        value.update(tensor_bytes(one))
    return value.hexdigest()
