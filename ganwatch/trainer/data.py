"""Training data: bundled digits, image folders, mixtures of Gaussians, or any dataset by import path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset, default_collate

from ganwatch.core.argument_checks import MAX_COUNT, check_integer
from ganwatch.core.errors import UserError
from ganwatch.core.files import walk_files
from ganwatch.data.bundled import draw_grid, draw_ring
from ganwatch.data.datasets import import_dataset
from ganwatch.data.images import open_image

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
SCALES = {"signed": (1.0, 0.0), "unit": (0.5, 0.5), "raw": (127.5, 127.5)}
"""Factor and offset from values in [-1, 1]."""

Batch = Tensor | list[Tensor]


class Batches:
    """An endless, shuffled sequence of batches that can continue from any position.

    An iteration goes to the end of the current epoch. The order of an epoch depends only on the seed and its number. The global random
    state is neither read nor changed, and incomplete last batches are left out.

    Parameters
    ----------
    dataset : Dataset
        A dataset with a length. A ``TensorDataset`` is indexed batch by batch, any other item by item with the default collation.
    batch_size : int
        Samples in a batch.
    seed : int
        Determines the order.
    prepare : callable or None
        Applied to the samples of each batch, not to their labels.

    Examples
    --------
    >>> batches = Batches(TensorDataset(torch.arange(6.0)), batch_size=2, seed=0)
    >>> len(batches), len(list(batches)), batches.state_dict()
    (3, 3, {'position': 3})
    """

    def __init__(
        self, dataset: Dataset[Any], *, batch_size: int, seed: int = 0, prepare: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        self.dataset, self.batch_size, self.seed, self.prepare = dataset, batch_size, seed, prepare
        self.size = len(dataset)  # type: ignore[arg-type]  # map-style datasets have a length
        self.position = 0

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        epoch, start = divmod(self.position, len(self))
        order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
        for index in range(start, len(self)):
            batch = self._collate(order[index * self.batch_size : (index + 1) * self.batch_size])
            self.position += 1
            yield batch

    def _collate(self, indices: np.ndarray[Any, Any]) -> Batch:
        if isinstance(self.dataset, TensorDataset):
            chosen = torch.from_numpy(indices)
            batch: Batch = [tensor[chosen] for tensor in self.dataset.tensors]
        else:
            batch = default_collate([self.dataset[index] for index in indices.tolist()])
        if isinstance(batch, Tensor):
            return self.prepare(batch) if self.prepare else batch
        if self.prepare:
            batch[0] = self.prepare(batch[0])
        return batch[0] if len(batch) == 1 else batch

    def state_dict(self) -> dict[str, int]:
        """State of the iteration: the number of batches delivered so far."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue after the batches that were delivered when the state was saved."""
        self.position = state["position"]


class GANData(lightning.LightningDataModule):
    """Training data for the reference GAN.

    Parameters
    ----------
    source : str
        ``digits`` (1,797 real handwritten digits of 8x8 pixels with labels, from scikit-learn), ``folder`` (PNG and JPEG files
        below ``path``), ``ring`` (8 Gaussians at radius 1, sigma .01, labels are the modes), ``grid`` (5x5 Gaussians 2 apart,
        sigma .05, times ``ganwatch.data.bundled.GRID_FACTOR``), or ``package.module:attribute``, a Dataset or a callable that
        returns one.
    path : path or None
        The folder, for ``folder``.
    size : int, pixels
        Images of a folder are resized with antialiasing and cropped at the centre to this square.
    grey : bool
        One channel instead of three, for ``folder``.
    samples : int
        Number of points that ``ring`` and ``grid`` draw.
    batch_size : int
        Samples in a batch; incomplete batches are left out.
    scale : {"signed", "unit", "raw"}
        Values in [-1, 1], [0, 1] or [0, 255]. Applies to every source except imported ones with floating samples, which are used
        as they are; imported uint8 samples are pixels.
    holdout : float, in [0, 1)
        Share of the samples, chosen at random, that is held out from the training (``heldout``).
    seed : int
        Determines the order of the batches, the points of ``ring`` and ``grid``, and the held-out samples.

    Raises
    ------
    UserError
        An argument breaks a rule, or (from ``setup``, before the first step) the data cannot be used.
    """

    def __init__(
        self,
        source: str = "digits",
        *,
        path: str | Path | None = None,
        size: int = 64,
        grey: bool = False,
        samples: int = 10_000,
        batch_size: int = 64,
        scale: Literal["signed", "unit", "raw"] = "signed",
        holdout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if source not in {"digits", "folder", "ring", "grid"} and ":" not in source:
            raise UserError(f"source must be digits, folder, ring, grid or package.module:attribute, got {source!r}")
        if source == "folder" and path is None:
            raise UserError("path must name a folder of PNG or JPEG files for source='folder', got None")
        if scale not in SCALES:
            raise UserError(f"scale must be one of {tuple(SCALES)}, got {scale!r}")
        for name, value in {"size": size, "samples": samples, "batch_size": batch_size}.items():
            check_integer(name, value, 1, MAX_COUNT)
        if not 0.0 <= holdout < 1.0:
            raise UserError(f"holdout must be in [0, 1) (share of the samples), got {holdout}")
        if seed < 0:
            raise UserError(f"seed must be >= 0, got {seed}")
        self.source, self.path, self.size, self.grey, self.samples = source, path, size, grey, samples
        self.batch_size, self.scale, self.holdout, self.seed = batch_size, scale, holdout, seed
        self.save_hyperparameters()
        self.dataset: Dataset[Any] | None = None
        self._heldout: Dataset[Any] | None = None

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002  # Lightning's signature
        """Load the data; images stay in memory as bytes."""
        if self.dataset is not None:
            return
        if self.source == "digits":
            self.dataset = load_digits()
        elif self.source == "folder":
            self.dataset = load_folder(Path(str(self.path)), self.size, grey=self.grey)
        elif self.source == "ring":
            self.dataset = TensorDataset(*draw_ring(self.samples, self.seed))
        elif self.source == "grid":
            self.dataset = TensorDataset(*draw_grid(self.samples, self.seed))
        else:
            self.dataset = import_dataset(self.source)
        self.dataset, self._heldout = _split(self.dataset, self.holdout, self.seed)
        count = len(self.dataset)  # type: ignore[arg-type]  # map-style datasets have a length
        if count < self.batch_size:
            raise UserError(f"batch_size must be <= the number of samples, {count} in {self.path or self.source}, got {self.batch_size}")

    def train_dataloader(self) -> Batches:
        """Return batches of ``(x, y)`` if the source has labels, of ``x`` otherwise."""
        self.setup()
        if self.dataset is None:
            raise RuntimeError("setup left no dataset")
        return self._batches(self.dataset)

    def heldout(self) -> Batches | None:
        """Return batches of the held-out samples, prepared like the others; None without any."""
        self.setup()
        return None if self._heldout is None else self._batches(self._heldout)

    def _batches(self, dataset: Dataset[Any]) -> Batches:
        factor, offset = SCALES[self.scale]
        samples_in_memory = dataset.tensors[0] if isinstance(dataset, TensorDataset) else None

        def prepare(samples: Tensor) -> Tensor:
            if samples.dtype == torch.uint8:
                return samples.to(torch.float32).mul_(factor / 127.5).add_(offset - factor)
            return samples if ":" in self.source or self.scale == "signed" else samples * factor + offset

        is_ready = samples_in_memory is not None and samples_in_memory.dtype != torch.uint8 and self.scale == "signed"
        return Batches(dataset, batch_size=self.batch_size, seed=self.seed, prepare=None if is_ready else prepare)


def _split(dataset: Dataset[Any], share: float, seed: int) -> tuple[Dataset[Any], Dataset[Any] | None]:
    """Split the data into training and held-out samples, both in the order of the data."""
    count = len(dataset)  # type: ignore[arg-type]  # map-style datasets have a length
    heldout_count = round(share * count)
    if not heldout_count:
        return dataset, None
    order = np.random.default_rng([seed, 1]).permutation(count)
    parts = [torch.from_numpy(np.sort(rows)) for rows in (order[heldout_count:], order[:heldout_count])]
    if isinstance(dataset, TensorDataset):
        training, heldout = (TensorDataset(*(tensor[rows] for tensor in dataset.tensors)) for rows in parts)
        return training, heldout
    return Subset(dataset, parts[0].tolist()), Subset(dataset, parts[1].tolist())


def load_digits() -> TensorDataset:
    """Load the 1,797 real digits ``(1797, 1, 8, 8)`` float32 in [-1, 1] and their labels ``(1797,)`` int64 from scikit-learn."""
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.from_numpy(digits.images).to(torch.float32).unsqueeze(1) / 8.0 - 1.0
    return TensorDataset(images, torch.from_numpy(digits.target).to(torch.int64))


def load_folder(folder: Path, size: int, *, grey: bool = False) -> TensorDataset:
    """Load the PNG and JPEG files below a folder, sorted by path, as ``(N, C, size, size)`` uint8.

    Raises
    ------
    UserError
        The folder does not exist, holds no image, or a file cannot be read.
    """
    from PIL import Image, ImageOps

    if not folder.is_dir():
        reason = "a file" if folder.exists() else "not there"
        raise UserError(f"path must be a folder of PNG or JPEG files, got {folder}, which is {reason}")
    files = [file for file in walk_files(folder, "path") if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"path must hold at least one PNG or JPEG file, got {folder} without any")
    images = np.empty((len(files), size, size, 1 if grey else 3), np.uint8)
    for index, file in enumerate(files):
        try:
            with open_image(file) as image:
                fitted = ImageOps.fit(image.convert("L" if grey else "RGB"), (size, size), Image.Resampling.LANCZOS)
        except Exception as error:
            raise UserError(f"path must hold readable images, got {file}: {type(error).__name__}: {error}") from error
        images[index] = np.asarray(fitted).reshape(size, size, -1)
    return TensorDataset(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
