"""A folder of checkpoints, each a folder of its own with a manifest, and a file that names the latest verified one."""

from __future__ import annotations

import logging
import pickle
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ganwatch.checkpoints.durable import TEMPORARY, is_abandoned, name_beside, publish_folder, remove_folder, replace_file, write_file
from ganwatch.checkpoints.manifest import (
    NAME,
    STATE,
    CheckpointError,
    FileEntry,
    Manifest,
    UnreadCheckpointError,
    check_files,
    read_manifest,
)
from ganwatch.checkpoints.pickle_bounds import UnsafePickleError
from ganwatch.checkpoints.safe_load import ARCHIVE, load_archive
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import exists, open_regular

log = logging.getLogger("ganwatch")

LATEST = "latest"
"""File with the name of the latest checkpoint that was verified."""
SAFETENSORS = ".safetensors"
"""End of the name of a file of safetensors."""
MAX_NAME_BYTES = 100
_NAME = re.compile(r"step-(\d{1,15})(?:-(\d{1,6}))?")


class CheckpointFolder:
    """Checkpoints of one training.

    A checkpoint gets its name when it is complete, and ``latest`` names it when it was read back. So whatever ends a process, each
    ``step-…`` is whole, and ``latest`` is at most one checkpoint old.

    Parameters
    ----------
    path : str or Path
        Created with the first checkpoint.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, states: Mapping[str, Any], manifest: Manifest) -> Path:
        """Write the states, flush them, compare what can be read with what was meant, and give them their name.

        Raises
        ------
        OSError
            That is impossible; nothing of it is left.
        CheckpointError
            Other bytes arrived; nothing of them is left.

        Returns
        -------
        Path
            The new checkpoint, whole and not verified.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        target = self._free_name(manifest.step)
        beside = self.path / name_beside(target.name)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        try:
            file = write_file(beside / STATE, lambda stream: torch.save(dict(states), stream))  # type: ignore[arg-type]  # it only writes
            whole = replace(manifest, files={STATE: FileEntry(file.size, file.sha256)})
            write_file(beside / NAME, lambda stream: stream.write(whole.to_bytes()))
            check_files(beside, read_manifest(beside))
            publish_folder(beside, target)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        return target

    def mark_latest(self, checkpoint: Path) -> None:
        """Let ``latest`` name a checkpoint that was verified."""
        replace_file(self.path / LATEST, checkpoint.name.encode() + b"\n")

    def latest(self) -> Path | None:
        """Return the latest checkpoint that was verified; None if there is none."""
        try:
            with open_regular(self.path / LATEST, LATEST, limit=MAX_NAME_BYTES) as file:
                name = file.read(MAX_NAME_BYTES).decode().strip()
        except (OSError, UserError, UnicodeDecodeError):
            return None
        return self.path / name if _NAME.fullmatch(name) else None

    def checkpoints(self) -> list[Path]:
        """Return all checkpoints that have their name, by step."""
        try:
            found = [(match, path) for path in self.path.iterdir() if (match := _NAME.fullmatch(path.name))]
        except OSError:
            return []
        return [path for match, path in sorted(found, key=lambda one: (int(one[0][1]), int(one[0][2] or 0)))]

    def remove(self, checkpoint: Path) -> None:
        """Remove a checkpoint."""
        remove_folder(checkpoint)

    def clean(self) -> None:
        """Remove what a process that has ended did not complete."""
        for path in self.path.glob(f"{TEMPORARY}*"):
            if not is_abandoned(path.name):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def _free_name(self, step: int) -> Path:
        """Return a name that no checkpoint has; a step that is reached again after a resume gets a number."""
        target, again = self.path / f"step-{step}", 1
        while target.exists():
            again += 1
            target = self.path / f"step-{step}-{again}"
        return target


def is_checkpoint_name(name: str) -> bool:
    """Return True if a name is that of a complete checkpoint."""
    return _NAME.fullmatch(name) is not None


def read_checkpoint(path: Path) -> tuple[Manifest, dict[str, Any]]:
    """Read a checkpoint back: compare its files with the manifest, and load tensors and plain types, nothing else.

    Raises
    ------
    CheckpointError
        It is not what its manifest says, or cannot be loaded.
    """
    manifest = read_manifest(path)
    check_files(path, manifest)
    states = load_states(path / STATE)
    if set(states) != set(manifest.parts):
        raise CheckpointError(f"{STATE} must have the parts {sorted(manifest.parts)}, got {sorted(map(str, states))}")
    return manifest, states


def load_states(file: Path) -> dict[str, Any]:
    """Load tensors and plain types from a file of ``torch.save``, nothing that executes.

    Raises
    ------
    CheckpointError
        It is missing, damaged, or holds more than that.
    """
    try:
        states, _ = load_archive(file, file.name)
    except FileNotFoundError:
        raise CheckpointError(f"checkpoint must be a file, got {show_value(str(file))}, which is not there") from None
    except Exception as error:
        reason = "".join(str(error).strip().splitlines()[:1])
        raise CheckpointError(f"{file.name} must hold tensors and plain types, got {type(error).__name__}: {reason:.200}") from error
    if not isinstance(states, dict):
        raise CheckpointError(f"{file.name} must hold a dictionary, got {type(states).__name__}")
    return states


def load_foreign_states(file: Path) -> dict[str, Any]:
    """Load tensors and plain types from a file that another program wrote.

    Raises
    ------
    CheckpointError
        It is missing or damaged.
    UnreadCheckpointError
        It holds more than that, or is no file of ``torch.save``.
    """
    if file.suffix == SAFETENSORS:
        return _load_safetensors(file)
    try:
        with open_regular(file, file.name) as opened:
            is_archive = opened.read(len(ARCHIVE)) == ARCHIVE
    except (OSError, UserError) as error:
        raise CheckpointError(f"checkpoint must be a file that can be read, got {show_value(str(file))}: {error}") from error
    if not is_archive:
        raise UnreadCheckpointError(f"{show_value(file.name)} is no file of torch.save, and is not read back")
    try:
        return load_states(file)
    except CheckpointError as error:
        if isinstance(error.__cause__, pickle.UnpicklingError | UnsafePickleError):
            raise UnreadCheckpointError(f"{show_value(file.name)} holds more than tensors and plain types, and is not read back") from error
        raise


def _load_safetensors(file: Path) -> dict[str, Any]:
    """Load the tensors of a file of safetensors, whose format holds nothing else."""
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UnreadCheckpointError(f"{show_value(file.name)} needs safetensors to be read: pip install safetensors") from error
    try:
        with open_regular(file, file.name):
            return dict(load_file(file))
    except Exception as error:
        raise CheckpointError(f"checkpoint must be an undamaged file of safetensors, got {show_value(str(file))}: {error}") from error


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load the states of a checkpoint: tensors on the host and plain types, nothing that executes.

    Parameters
    ----------
    path : str or Path
        A checkpoint, a folder of checkpoints, or the URL of their copies. Of several it is the latest one that can be read, whatever
        ended the process that wrote them.

    Returns
    -------
    dict
        State of each part, by its name.

    Raises
    ------
    CheckpointError
        It is damaged, or the folder has none that can be read.
    """
    if "://" in str(path):
        from ganwatch.checkpoints.copies import load_remote_checkpoint

        return load_remote_checkpoint(str(path))
    if not isinstance(path, str | Path) or "\0" in str(path):
        raise CheckpointError(f"path must be a checkpoint, a folder of checkpoints or a URL, got {path!r:.100}")
    path = Path(path)
    if exists(path / NAME) or (_NAME.fullmatch(path.name) and not CheckpointFolder(path).checkpoints()):
        return read_checkpoint(path)[1]
    place = CheckpointFolder(path)
    latest, others = place.latest(), place.checkpoints()
    candidates = [*([latest] if latest is not None else []), *(one for one in reversed(others) if one != latest)]
    faults = []
    for one in candidates:
        try:
            return read_checkpoint(one)[1]
        except CheckpointError as error:
            faults.append(f"{one.name}: {error}")
            log.warning("checkpoint %s is passed over: %s", one, error)
    raise CheckpointError(f"path must have a checkpoint that can be read, got {show_value(str(path))}: {'; '.join(faults) or 'none'}")
