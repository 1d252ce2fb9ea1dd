"""Folders and files behind a URL that fsspec can open, bounded in bytes, in files and in time."""

from __future__ import annotations

import io
import re
import tempfile
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from ganwatch.core.errors import UserError
from ganwatch.core.files import MAX_FILES
from ganwatch.core.provenance import mask_passwords
from ganwatch.data.arrays import SUFFIXES, open_file
from ganwatch.data.folder import SUFFIXES as IMAGE_SUFFIXES
from ganwatch.data.folder import open_files
from ganwatch.data.source import Source

MAX_FILE_BYTES = 2**33
"""Most bytes of a file that are fetched."""
MAX_IMAGE_BYTES = 2**27
"""Most bytes of an image, or of a page with links, that are fetched."""
FETCH_SECONDS = 600.0
"""Longest time in which a file is fetched or a folder is listed."""
SILENCE_SECONDS = 30.0
"""Longest time in which a server may send nothing."""
_CHUNK = 2**20
_HTTP = ("http", "https")


def open_url(url: str, argument: str) -> Source:
    """Open a folder of images, whose files are fetched as they are read, or a NumPy file, which is fetched at once.

    Raises
    ------
    UserError
        fsspec cannot open the URL, it holds more than the bounds of this module, or there is nothing to read.
    """
    name = mask_passwords(url)
    try:
        files, root = _open_file_system(url)
        if root.endswith(SUFFIXES):
            with tempfile.TemporaryFile() as content:  # what is mapped into memory stays there
                _fetch(files, root, content, MAX_FILE_BYTES)
                return open_file(content, name, argument)
        paths = sorted(path for path in _list_files(files, root) if path.lower().endswith(tuple(IMAGE_SUFFIXES)))
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{argument} must be a URL that fsspec can open, got {name!r}: {type(error).__name__}: {error}") from error

    def fetch(path: Any) -> io.BytesIO:
        content = io.BytesIO()
        _fetch(files, path, content, MAX_IMAGE_BYTES)
        return content

    parts = [tuple(path.removeprefix(root).strip("/").split("/")) for path in paths]
    return open_files(paths, parts, fetch, name, argument)


def fetch_url(url: str, limit: int) -> bytes:
    """Return the content of a file.

    Raises
    ------
    ValueError
        The file is larger than ``limit`` bytes, or takes longer than ``FETCH_SECONDS``.
    Exception
        Any error of fsspec.
    """
    files, path = _open_file_system(url)
    content = io.BytesIO()
    _fetch(files, path, content, limit)
    return content.getvalue()


def _open_file_system(url: str) -> tuple[Any, str]:
    import fsspec

    options: dict[str, Any] = {}
    if found := re.findall(r"(https?)://", url):
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=FETCH_SECONDS, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
        options = {protocol: {"client_kwargs": {"timeout": timeout}} for protocol in found}
    files, root = fsspec.core.url_to_fs(url, **options)
    return files, str(root)


def _fetch(files: Any, path: str, target: BinaryIO, limit: int) -> None:
    """Copy a file into ``target``, and go back to its beginning."""
    deadline, size = time.monotonic() + FETCH_SECONDS, 0
    stream = {"block_size": 0} if _is_http(files) else {}  # otherwise fsspec asks for ranges, which servers may ignore
    with files.open(path, "rb", **stream) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise ValueError(f"a file must have at most {limit:,} bytes, got more in {mask_passwords(path)!r}")
            if time.monotonic() > deadline:
                raise ValueError(f"a file must arrive within {FETCH_SECONDS:g} s, got {size:,} bytes of {mask_passwords(path)!r}")
            target.write(chunk)
    target.seek(0)


def _list_files(files: Any, root: str) -> Iterator[str]:
    """Yield the files below a folder. A folder that several links lead to is listed once."""
    deadline, listed, count = time.monotonic() + FETCH_SECONDS, {root.rstrip("/")}, 0
    waiting = [root]
    while waiting:
        for path, is_folder in _list_folder(files, waiting.pop()):
            count += 1
            if count > MAX_FILES or time.monotonic() > deadline:
                rule = f"at most {MAX_FILES:,} files that are listed within {FETCH_SECONDS:g} s"
                raise ValueError(f"a folder must have {rule}, got {count:,} and more in {mask_passwords(root)!r}")
            if not is_folder:
                yield path
            elif path.rstrip("/") not in listed:
                listed.add(path.rstrip("/"))
                waiting.append(path)


def _list_folder(files: Any, folder: str) -> Iterator[tuple[str, bool]]:
    if not _is_http(files):
        yield from ((str(entry["name"]), entry["type"] == "directory") for entry in files.ls(folder, detail=True))
        return
    folder = folder if folder.endswith("/") else f"{folder}/"
    page = io.BytesIO()
    _fetch(files, folder, page, MAX_IMAGE_BYTES)
    links = _Links()
    links.feed(page.getvalue().decode(errors="replace"))
    for link in dict.fromkeys(links.found):
        path = urljoin(folder, link)
        if path.startswith(folder) and path != folder and not urlsplit(path).query:  # never another server, never upwards
            yield path, path.endswith("/")


class _Links(HTMLParser):
    """Targets of the links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _is_http(files: Any) -> bool:
    protocols = files.protocol if isinstance(files.protocol, tuple | list) else (files.protocol,)
    return any(protocol in _HTTP for protocol in protocols)
