"""Provenance of a run as plain JSON types, collected once, before the first step."""

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
"""Names whose values are masked. Hyphens count as underscores."""
URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):[^@\s]*@")
QUERY_PASSWORD = re.compile(r"(?i)([?&](?:password|passwd|pwd|token|secret)=)[^&\s]*")
MEMORY_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def collect_provenance(**facts: Any) -> dict[str, Any]:
    """Return arguments, versions, code, device and process of this run, and further facts.

    Parameters
    ----------
    **facts
        Further facts about the run (configuration, optimizers, seed, identity of the data set). Values that JSON cannot hold become
        their ``repr``. Values whose name is that of a secret become ``"***"``.
    """
    collected: dict[str, Any] = to_plain(
        {
            "arguments": _arguments(),
            "script": sys.argv[0] if sys.argv else "",
            "directory": str(Path.cwd()),
            "code": _code_version(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": package_versions(),
            "device": _device(),
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        | facts
    )
    return collected


def package_versions() -> dict[str, str]:
    """Return the installed versions of ganwatch and of the packages that numbers depend on."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def optimizer_settings(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return class and settings of each optimizer, without its parameters."""
    return {
        name: {
            "class": f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
            "groups": [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups],
        }
        for name, optimizer in named.items()
    }


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Return a hash of arguments, script, directory, configuration, name, module and seed, the same for two starts of one training."""
    identity = {key: facts.get(key) for key in ("arguments", "script", "directory", "configuration", "name", "module", "seed")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=repr).encode()).hexdigest()[:16]


def to_plain(value: Any, name: str = "") -> Any:
    """Return a value in JSON types, with secrets masked.

    >>> to_plain({"lr": 1e-3, "db_password": "x", "betas": (0.5, 0.9)})
    {'lr': 0.001, 'db_password': '***', 'betas': [0.5, 0.9]}
    """
    if is_secret(name):
        return "***"
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, str):
        return mask_passwords(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    return mask_passwords(MEMORY_ADDRESS.sub("", repr(value)))


def is_secret(name: str) -> bool:
    """Return True if a name is that of a secret.

    >>> is_secret("--api-key"), is_secret("num_tokens")
    (True, False)
    """
    return SECRET.search(name.lower().strip("-").replace("-", "_")) is not None


def mask_passwords(text: str) -> str:
    """Mask the passwords of URLs in a text.

    >>> mask_passwords("postgresql://bob:hidden@host/db?sslmode=require&password=hidden")
    'postgresql://bob:***@host/db?sslmode=require&password=***'
    """
    return QUERY_PASSWORD.sub(r"\1***", URL_PASSWORD.sub(r"\1:***@", text))


def _arguments() -> list[str]:
    arguments, hides_next = [], False
    for argument in sys.argv[1:]:
        key, equals, _ = argument.partition("=")
        hides = key.startswith("-") and is_secret(key)
        arguments.append("***" if hides_next else f"{key}=***" if hides and equals else mask_passwords(argument))
        hides_next = hides and not equals
    return arguments


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _code_version() -> dict[str, Any]:
    def git(*arguments: str) -> str | None:
        try:
            completed = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)  # noqa: S603, S607  # fixed words, no shell
        except (OSError, subprocess.SubprocessError):
            return None
        return completed.stdout.strip()

    commit = git("rev-parse", "HEAD")
    return {"commit": commit, "modified": bool(git("status", "--porcelain", "--untracked-files=no"))} if commit else {"commit": None}


def _device() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {"type": "cpu", "threads": 1, "name": platform.processor() or platform.machine()}
    if torch.cuda.is_available():
        return {"type": "cuda", "name": torch.cuda.get_device_name(), "count": torch.cuda.device_count()}
    return {"type": "cpu", "threads": torch.get_num_threads(), "name": platform.processor() or platform.machine()}
