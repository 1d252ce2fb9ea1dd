"""Files of versions: a copy of the checkpoint that no training removes, and a link to the version in use."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ganwatch.checkpoints.durable import (
    CHUNK,
    TEMPORARY,
    flush_folder,
    hash_file,
    is_abandoned,
    name_beside,
    publish_folder,
    remove_folder,
    write_file,
)
from ganwatch.checkpoints.folder import read_checkpoint
from ganwatch.checkpoints.manifest import NAME, STATE, CheckpointError
from ganwatch.checkpoints.read_back import describe_checkpoint
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import exists, is_folder, open_regular

FOLDER = "models"
"""Folder of all versions below the artifacts of a store."""
DIGITS = 16
"""Digits of a hash in the name of a version's folder."""


def copy_checkpoint(source: Path, folder: Path) -> tuple[Path, str, int]:
    """Copy a checkpoint into the folder of a model, once for each content.

    It is read back from the copy. Its folder gets its name when everything is on the disk, so a process that ends before leaves no version.

    Parameters
    ----------
    source : Path
        Checkpoint of ``watching.checkpoint``, or a file with tensors and plain types.
    folder : Path
        Folder of the model; created if needed.

    Returns
    -------
    path, sha256, size
        The copy, the hash of its states, and their size in bytes.

    Raises
    ------
    CheckpointError
        It is missing or damaged, or holds more than tensors and plain types.
    UserError
        It cannot be copied.
    """
    files = [NAME, STATE] if is_folder(source) and exists(source / NAME) else None
    if is_folder(source) and files is None:
        raise CheckpointError(f"checkpoint must be a file, or a folder with a {NAME}, got {show_value(str(source))}")
    state = source / STATE if files else source
    try:
        sha256 = hash_file(state)[1]
    except OSError as error:
        raise CheckpointError(f"checkpoint must be a file that can be read, got {show_value(str(source))}: {error}") from error
    target = folder / sha256[:DIGITS]
    copy = target if files else target / source.name
    try:
        if exists(target) and not _is_whole(copy, sha256):
            remove_folder(target)  # damaged since; what is given takes its place
        if not exists(target):
            _copy(state.parent, files or [source.name], target)
        found = describe_checkpoint(copy)
    except OSError as error:
        raise UserError(f"the artifacts of the store must take the checkpoint, got {error}") from error
    if found["sha256"] != sha256:
        raise CheckpointError(f"checkpoint must stay as it is while it is copied, got other bytes of {show_value(str(source))}")
    return copy, sha256, found["size"]


def _is_whole(copy: Path, sha256: str) -> bool:
    try:
        check_version(copy, sha256)
    except CheckpointError:
        return False
    return True


def check_version(path: Path, sha256: str) -> None:
    """Check that the files of a version are those that were registered.

    Raises
    ------
    CheckpointError
        They are gone, damaged or changed.
    """
    if is_folder(path):
        manifest, _ = read_checkpoint(path)
        found = manifest.files[STATE].sha256
    else:
        try:
            found = hash_file(path)[1]
        except (OSError, ValueError, UserError) as error:
            raise CheckpointError(f"the files of a version must be where they were registered, got {error}") from error
    if found != sha256:
        raise CheckpointError(f"the files of a version must have the SHA-256 {sha256}, got {found} in {show_value(str(path))}")


def replace_link(link: Path, target: Path) -> None:
    """Let a link name a version, at once: whoever opens it gets the former or the new version.

    Raises
    ------
    UserError
        There is something else than a link, or it cannot be written.
    """
    check_link(link)
    beside = _create_link(link, target)
    beside.replace(link)
    flush_folder(link.parent)


def check_link(link: Path) -> None:
    """Refuse a link that ``replace_link`` could not write, and remove what a killed process has left beside it.

    Raises
    ------
    UserError
        There is something else than a link, or it cannot be written.
    """
    if exists(link) and not link.is_symlink():
        raise UserError(f"--link must be a link or not be there yet, got {show_value(str(link))}")
    _create_link(link, Path()).unlink()
    for left in link.parent.glob(f"{TEMPORARY}*"):
        if is_abandoned(left.name) and left.is_symlink():
            left.unlink(missing_ok=True)


def _create_link(link: Path, target: Path) -> Path:
    """Create a link beside the place of another one."""
    beside = link.with_name(name_beside(link.name))
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        beside.symlink_to(target)
    except OSError as error:
        raise UserError(f"--link must be a place that can be written, got {show_value(str(link))}: {error}") from error
    return beside


def _copy(source: Path, names: list[str], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{TEMPORARY}*"):
        if is_abandoned(left.name):
            shutil.rmtree(left, ignore_errors=True)
    beside = target.with_name(name_beside(f"{target.name}-{os.urandom(4).hex()}"))
    beside.mkdir()
    try:
        for name in names:
            with open_regular(source / name, name) as file:
                write_file(beside / name, lambda out, file=file: shutil.copyfileobj(file, out, CHUNK))  # type: ignore[misc]
        try:
            publish_folder(beside, target)
        except OSError:
            if not target.is_dir():  # another process has copied the same content
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
