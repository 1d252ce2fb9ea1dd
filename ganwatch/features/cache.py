"""Features on disk by the content of what they were computed from."""

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

from ganwatch.features.extractor import Batch, raw

_log = logging.getLogger(__name__)
_ABANDONED = 3600.0


class FeatureCache:
    """One ``.npy`` file a batch, named by a hash of the samples and of the extractor.

    A file is complete or not there: it is written beside its place and renamed. So processes may share a folder, and one that is killed
    goes on where it was. When the folder grows beyond ``limit``, what was not used for longest goes. What cannot be written is computed
    again.

    Parameters
    ----------
    folder : path or None
        None takes ``ganwatch/features`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``.
    limit : int, bytes
        Default 2 GiB.
    """

    def __init__(self, folder: str | Path | None = None, *, limit: int = 2**31) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.folder = Path(base) / "ganwatch" / "features" if folder is None else Path(folder)
        self.limit = limit

    def get(self, key: str) -> Tensor | None:
        """The features ``(N, D)`` that were kept under a key, or None."""
        path = self._path(key)
        try:
            features = np.load(path, allow_pickle=False)
            os.utime(path)
        except (OSError, ValueError, EOFError):
            return None
        return torch.from_numpy(features) if features.ndim == 2 and features.dtype == np.float32 else None  # N, D

    def put(self, key: str, features: Tensor) -> None:
        """Keep features; a failure is logged."""
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
            _log.warning("features are not kept in %s: %s", self.folder, error)

    def prune(self) -> None:
        """Remove what was not used for longest until the limit is kept, and what killed processes left half written."""
        kept: list[tuple[float, int, Path]] = []
        with contextlib.suppress(OSError):
            for path in self.folder.glob("*/*"):
                with contextlib.suppress(OSError):  # another process was faster
                    facts = path.stat()
                    if path.suffix == ".npy":
                        kept.append((facts.st_mtime, facts.st_size, path))
                    elif time.time() - facts.st_mtime > _ABANDONED:
                        path.unlink()
        size = sum(one for _, one, _ in kept)
        for _, one, path in sorted(kept):
            if size <= self.limit:
                return
            path.unlink(missing_ok=True)
            size -= one

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key[2:]}.npy"


def content_key(samples: Batch, extractor: str) -> str:
    """A hash of samples, their types and shapes, and of an extractor's identity."""
    value = hashlib.sha256(extractor.encode())
    for one in [samples] if isinstance(samples, Tensor) else samples:
        value.update(f" {one.dtype} {tuple(one.shape)} ".encode())
        value.update(raw(one))
    return value.hexdigest()
