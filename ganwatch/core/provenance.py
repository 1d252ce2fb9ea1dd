"""What a run was made with: plain JSON types, gathered once, before the first step."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGES = ("ganwatch", "torch", "lightning", "pytorch-lightning", "torchmetrics", "numpy", "scipy")
SECRET = re.compile(r"passw|passphrase|secret|credential|api_?key|(^|_)(pwd?|auth|authorization|token|access_key|private_key)$")
"""Names whose values are not kept, with hyphens read as underscores."""
URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^@\s]*@")
QUERY_PASSWORD = re.compile(r"(?i)([?&](?:password|passwd|pwd|token|secret)=)[^&\s]*")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def provenance(**facts: Any) -> dict[str, Any]:
    """Arguments, versions, code, device and process of this run, with the given facts added.

    Parameters
    ----------
    **facts
        Anything that belongs to the run (configuration, optimizers, seed, dataset identity). Values that JSON cannot hold become
        their ``repr``; values whose name speaks of a secret become ``"***"``.
    """
    gathered: dict[str, Any] = plain(
        {
            "arguments": _arguments(),
            "script": sys.argv[0] if sys.argv else "",
            "directory": str(Path.cwd()),
            "code": _code_version(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": versions(),
            "device": _device(),
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        | facts
    )
    return gathered


def versions() -> dict[str, str]:
    """Of ganwatch and of what numbers depend on, as installed."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def optimizers(named: Mapping[str, Any]) -> dict[str, Any]:
    """Class and settings of each optimizer, parameters left out."""
    return {
        name: {
            "class": f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
            "groups": [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups],
        }
        for name, optimizer in named.items()
    }


def fingerprint(facts: Mapping[str, Any]) -> str:
    """A hash that two starts of the same training share: arguments, script, directory, configuration, name, module, seed."""
    kept = {key: facts.get(key) for key in ("arguments", "script", "directory", "configuration", "name", "module", "seed")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=repr).encode()).hexdigest()[:16]


def plain(value: Any, name: str = "") -> Any:
    """The same value in JSON types, secrets masked.

    >>> plain({"lr": 1e-3, "db_password": "x", "betas": (0.5, 0.9)})
    {'lr': 0.001, 'db_password': '***', 'betas': [0.5, 0.9]}
    """
    if secret(name):
        return "***"
    if isinstance(value, Mapping):
        return {str(key): plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    return masked(ADDRESS.sub("", repr(value)))


def secret(name: str) -> bool:
    """Whether a name speaks of a secret.

    >>> secret("--api-key"), secret("num_tokens")
    (True, False)
    """
    return SECRET.search(name.lower().strip("-").replace("-", "_")) is not None


def masked(text: str) -> str:
    """The text without the passwords of URLs in it.

    >>> masked("postgresql://bob:hidden@host/db?sslmode=require&password=hidden")
    'postgresql://bob:***@host/db?sslmode=require&password=***'
    """
    return QUERY_PASSWORD.sub(r"\1***", URL_PASSWORD.sub(r"\1:***@", text))


def _arguments() -> list[str]:
    kept, hide = [], False
    for argument in sys.argv[1:]:
        key, equals, _ = argument.partition("=")
        hidden = key.startswith("-") and secret(key)
        kept.append("***" if hide else f"{key}=***" if hidden and equals else masked(argument))
        hide = hidden and not equals
    return kept


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _code_version() -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603, S607  # fixed words, no shell
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = git("rev-parse", "HEAD")
    return {"commit": commit, "modified": bool(git("status", "--porcelain", "--untracked-files=no"))} if commit else {"commit": None}


def _device() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {"type": "cpu", "threads": 1, "name": platform.processor() or platform.machine()}
    if torch.cuda.is_available():
        return {"type": "cuda", "name": torch.cuda.get_device_name(), "count": torch.cuda.device_count()}
    return {"type": "cpu", "threads": torch.get_num_threads(), "name": platform.processor() or platform.machine()}
