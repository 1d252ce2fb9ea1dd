"""Reads tensors and plain types from files of ``torch.save``, and nothing that executes."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from ganwatch.checkpoints.pickle_bounds import MAX_BYTES, check_pickle
from ganwatch.core.files import open_regular
from ganwatch.core.zip_archives import open_archive

ARCHIVE = b"PK\x03\x04"
"""First bytes of a file of ``torch.save``."""


def load_archive(path: str | Path, argument: str) -> tuple[dict[str, Any], int]:
    """Return the tensors and plain types of a checkpoint, and the size of its file in bytes.

    Parameters
    ----------
    path : str or Path
        File of ``torch.save``.
    argument : str
        Name of the file in errors.

    Raises
    ------
    OSError
        The file does not exist or may not be read.
    UserError
        It is no regular file, or no archive within the bounds.
    ValueError
        Its archive or its pickle breaks a rule.
    pickle.UnpicklingError
        It holds more than tensors and plain types; nothing of it was carried out.
    """
    with open_regular(path, argument) as file:
        starts_well, size = file.read(len(ARCHIVE)) == ARCHIVE, file.seek(0, 2)
        with open_archive(file, argument, str(path)) as archive:
            members = archive.infolist()
            pickles = [member for member in members if member.filename.lower().endswith("data.pkl")]
            content = archive.read(pickles[0]) if len(pickles) == 1 and pickles[0].file_size <= MAX_BYTES else b""
        names = {member.filename.lower() for member in members}
        rules = {  # torch reads archives less strictly than zipfile, and must not see another one
            "it must be an archive from its first byte on": starts_well,
            f"it must have one data.pkl of at most {MAX_BYTES:,} bytes": bool(content) and pickles[0].filename.endswith("/data.pkl"),
            "it must be one archive, with nothing before it": min((member.header_offset for member in members), default=0) == 0,
            "its members must have different names": len(names) == len(members),
            "its members must not be compressed": all(member.compress_type == zipfile.ZIP_STORED for member in members),
            "its members must not overlap": sum(member.file_size for member in members) <= size,
        }
        if broken := [rule for rule, holds in rules.items() if not holds]:
            raise ValueError(broken[0])
        check_pickle(content)
        file.seek(0)
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return checkpoint, size
