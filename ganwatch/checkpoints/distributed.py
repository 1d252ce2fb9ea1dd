"""Shards of a checkpoint of ``torch.distributed.checkpoint``: its index is a pickle, so it is looked at and never loaded."""

from __future__ import annotations

import pickletools
from pathlib import Path

from ganwatch.checkpoints.manifest import CheckpointError
from ganwatch.checkpoints.pickle_bounds import MAX_BYTES
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import exists, open_regular

INDEX, SHARD = ".metadata", ".distcp"
"""Name of the index, which is written last, and end of the names of the shards."""


def check_shards(folder: Path) -> None:
    """Check that every shard that the index names is there; a folder without shards and index is none of this kind.

    Raises
    ------
    CheckpointError
        The index or a shard is missing, or the index is damaged.
    """
    shards = {path.name for path in folder.iterdir() if path.name.endswith(SHARD)}
    if not exists(folder / INDEX):
        if shards:
            raise CheckpointError(f"checkpoint must have the index {INDEX}, got none in {show_value(str(folder))}: it was not completed")
        return
    try:
        with open_regular(folder / INDEX, INDEX, limit=MAX_BYTES) as file:
            texts = [value for _, value, _ in pickletools.genops(file.read(MAX_BYTES)) if isinstance(value, str)]
    except (OSError, ValueError, UserError) as error:
        raise CheckpointError(f"checkpoint must have an index that can be read, got {show_value(str(folder))}: {error}") from error
    named = {text for text in texts if text.endswith(SHARD) and "/" not in text}
    if missing := sorted(named - shards):
        raise CheckpointError(f"checkpoint must have all {len(named)} shards, got no {missing[0]} in {show_value(str(folder))}")
