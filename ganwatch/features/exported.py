"""Features of an exported program: of ``torch.export``, or TorchScript, as the usual Inception network for FID."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ganwatch.core.errors import UserError, show_error
from ganwatch.core.files import open_regular
from ganwatch.core.provenance import mask_passwords
from ganwatch.data.urls import fetch_url
from ganwatch.features.extractor import Batch, as_features
from ganwatch.features.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(output_range=(0.0, 255.0), channels=3)
MAX_BYTES = 2**32
"""Largest program, in bytes."""
_SHA256_DIGITS = 64


class ExportedNetwork:
    """Features that an exported program returns.

    A program of ``torch.export`` needs a dynamic first axis. A TorchScript whose ``forward`` has the argument ``return_features`` is called
    with it.

    Parameters
    ----------
    location : str
        A file, or a URL that fsspec can open. A URL is downloaded each time, unless it begins with ``filecache::``.
    sha256 : str or None
        Hash of the file, 64 hexadecimal digits. It is checked before the file is loaded, because loading may run code: an archive of
        ``torch.export`` may hold a pickle, and TorchScript is a program.
    preprocessing : Preprocessing
        Preprocessing of images; by default three channels in 0…255, without resizing.
    trust : bool
        True loads a local file without a hash.

    Raises
    ------
    UserError
        The file cannot be read, has no hash or another one, or is neither kind of program.
    """

    dim: int | None = None

    def __init__(
        self, location: str, sha256: str | None = None, preprocessing: Preprocessing = PREPROCESSING, *, trust: bool = False
    ) -> None:
        self.name = mask_passwords(location)
        if sha256 is None and "://" in location:
            raise UserError(f"features from a URL must come with their SHA-256, as {self.name}@SHA256, got none")
        if sha256 is not None and (len(sha256) != _SHA256_DIGITS or set(sha256.lower()) - set("0123456789abcdef")):
            raise UserError(f"the SHA-256 of {self.name} must have 64 hexadecimal digits, got {sha256!r}")
        content = _read_content(location, self.name)
        self.sha256 = hashlib.sha256(content).hexdigest()
        if sha256 is None and not trust:
            raise UserError(
                f"features must come with their SHA-256, as {self.name}@{self.sha256} for the file that is there now, got none: loading a "
                "program may run code of whoever wrote the file; --trust (or trust=True) loads it all the same"
            )
        if sha256 is not None and self.sha256 != sha256.lower():
            raise UserError(f"{self.name} must have the SHA-256 {sha256.lower()}, got {self.sha256}: it was not loaded")
        self.preprocessing = preprocessing
        self._program = _load_program(content, self.name)

    @torch.no_grad()
    def __call__(self, samples: Batch) -> Tensor:
        """Return features ``(N, D)`` of images.

        Raises
        ------
        UserError
            The program does not take such images, or does not return one row a sample.
        """
        images = self.preprocessing(samples)
        try:
            output = self._program(images)
        except Exception as error:
            reason = "".join(str(error).strip().splitlines()[-1:])
            raise UserError(f"{self.name} must take float32 images of shape {tuple(images.shape)}, got: {reason}") from error
        return as_features(output, len(images), self.name)

    def provenance(self) -> dict[str, Any]:
        """Return the name, SHA-256 of the file, and preprocessing."""
        return {"name": self.name, "weights": self.sha256, "preprocessing": self.preprocessing.as_dict(), "torch": torch.__version__}


def _read_content(location: str, name: str) -> bytes:
    try:
        if "://" in location:
            return fetch_url(location, MAX_BYTES)
        with open_regular(location, "features", limit=MAX_BYTES) as file:
            return file.read()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"features must be a file or a URL that fsspec can open, got {name!r}: {show_error(error)}") from error


def _load_program(content: bytes, name: str) -> Callable[[Tensor], Any]:
    try:
        entries = [entry.partition("/")[2] for entry in zipfile.ZipFile(io.BytesIO(content)).namelist()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, but the usual networks are published in it
            if "constants.pkl" in entries:
                return _with_features(torch.jit.load(io.BytesIO(content), map_location="cpu").eval())  # type: ignore[no-untyped-call]  # untyped in torch
            if "archive_format" in entries or "serialized_exported_program.json" in entries:
                return torch.export.load(io.BytesIO(content)).module()
    except Exception as error:
        raise UserError(f"{name} must be a program of torch.export or TorchScript, got: {show_error(error)}") from error
    raise UserError(f"{name} must be a program of torch.export or TorchScript, got another archive; weights alone are no network")


def _with_features(program: Any) -> Callable[[Tensor], Any]:
    names = [argument.name for argument in program.forward.schema.arguments]
    return (lambda images: program(images, return_features=True)) if "return_features" in names else program
