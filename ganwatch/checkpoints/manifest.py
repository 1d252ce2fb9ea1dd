"""Manifest of a checkpoint: its files with sizes and hashes, and the step of each of its parts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.durable import hash_file
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import open_regular
from ganwatch.core.plain_records import read_record
from ganwatch.store.strict_json import encode

NAME, STATE = "manifest.json", "state.pt"
"""Files of a checkpoint: the manifest, and the states of all parts by ``torch.save``."""
FORMAT = 1
"""Version of the format that this code writes; later ones are refused."""
MAX_MANIFEST_BYTES = 2**22
"""Largest manifest, in bytes."""


class CheckpointError(UserError):
    """A checkpoint is not what its manifest says, or cannot be read."""


class UnreadCheckpointError(CheckpointError):
    """A checkpoint of somebody else holds more than what is read: nothing is known against it, and nothing for it."""


@dataclass(frozen=True)
class FileEntry:
    """One file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Content of a checkpoint.

    Attributes
    ----------
    step : int
    parts : mapping of str to int
        Step of each part.
    files : mapping of str to FileEntry
    run : str or None
        Id of the run.
    created : float, Unix seconds
    provenance : mapping
        Versions, code and configuration of the run.
    """

    step: int
    parts: Mapping[str, int]
    files: Mapping[str, FileEntry]
    run: str | None = None
    created: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def size(self) -> int:
        """Size of all files, in bytes."""
        return sum(entry.size for entry in self.files.values())

    def to_bytes(self) -> bytes:
        """Return it as JSON."""
        plain = asdict(self) | {"provenance": encode(self.provenance)}
        return json.dumps(plain, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a checkpoint.

    Raises
    ------
    CheckpointError
        There is none, it is damaged, or its format is newer than this code.
    """
    try:
        with open_regular(folder / NAME, "manifest", limit=MAX_MANIFEST_BYTES) as file:
            plain = json.loads(file.read(MAX_MANIFEST_BYTES))
        version = plain.get("format") if isinstance(plain, dict) else None
        manifest = None if isinstance(version, int) and version > FORMAT else read_record(Manifest, plain)
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint must have a {NAME}, got none in {show_value(str(folder))}: it was not completed") from None
    except (OSError, ValueError, RecursionError, UserError) as error:
        what = f"{show_value(str(folder))}: {error}"
        raise CheckpointError(f"checkpoint must have a {NAME} that can be read, got {what}") from error
    if manifest is None:
        raise CheckpointError(f"checkpoint must have format {FORMAT} or older, got {version} in {show_value(str(folder))}")
    is_own = all(name not in {"", ".", ".."} and "/" not in name and name.isprintable() for name in manifest.files)
    if not is_own or STATE not in manifest.files:
        raise CheckpointError(f"checkpoint must name files of its folder, also {STATE}, got {show_value(str([*manifest.files]))}")
    if manifest.format < 1 or manifest.step < 0 or not math.isfinite(manifest.created):
        facts = f"format {manifest.format}, step {manifest.step}, created {manifest.created} in {show_value(str(folder))}"
        raise CheckpointError(f"checkpoint must have a format >= 1, a step >= 0 and a finite time, got {facts}")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare the files of a checkpoint with its manifest.

    Raises
    ------
    CheckpointError
        A file is missing, or has another size or content.
    """
    for name, entry in manifest.files.items():
        path = folder / name
        try:
            size, sha256 = hash_file(path)
        except (OSError, UserError) as error:
            raise CheckpointError(f"checkpoint must have the file {show_value(name)}, got {show_value(str(folder))}: {error}") from error
        if size != entry.size:
            raise CheckpointError(f"{show_value(name)} must have {entry.size:,} bytes, got {size:,}: it was cut off or changed")
        if sha256 != entry.sha256:
            raise CheckpointError(f"{show_value(name)} must have the SHA-256 {entry.sha256}, got {sha256}: it was damaged or changed")
