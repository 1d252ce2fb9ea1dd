"""Folders and NumPy files behind a URL that fsspec can open."""

from __future__ import annotations

import io
from typing import Any

from ganwatch.core.errors import UserError
from ganwatch.core.provenance import mask_passwords
from ganwatch.data.arrays import SUFFIXES, open_file
from ganwatch.data.folder import SUFFIXES as IMAGE_SUFFIXES
from ganwatch.data.folder import open_files
from ganwatch.data.source import Source


def open_url(url: str, argument: str) -> Source:
    """Open a folder of images, whose files are fetched as they are read, or a NumPy file, which is fetched at once.

    Raises
    ------
    UserError
        fsspec cannot open the URL, or there is nothing to read.
    """
    import fsspec

    name = mask_passwords(url)
    try:
        files, root = fsspec.core.url_to_fs(url)
        if root.endswith(SUFFIXES):
            return open_file(io.BytesIO(files.cat_file(root)), name, argument)
        paths = sorted(path for path in files.find(root) if str(path).lower().endswith(tuple(IMAGE_SUFFIXES)))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{argument} must be a URL that fsspec can open, got {name!r}: {type(error).__name__}: {error}") from error

    def fetch(path: Any) -> io.BytesIO:
        return io.BytesIO(files.cat_file(path))

    parts = [tuple(str(path).removeprefix(root).strip("/").split("/")) for path in paths]
    return open_files(paths, parts, fetch, name, argument)
