"""Reads checkpoints back in another process, so that a damaged one costs the training neither time nor memory.

The process is started with the first checkpoint and stays. It takes the path of a checkpoint as a line of JSON, and answers with what
``describe_checkpoint`` returns, or with the fault.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.durable import hash_file
from ganwatch.checkpoints.manifest import CheckpointError, UnreadCheckpointError

MAX_SECONDS = 600.0
"""Longest time that a checkpoint may take to be read, in seconds."""
LOW_PRIORITY = 10
"""Niceness of the other process."""


class ReadBack:
    """The other process; it is started again where it has died.

    Examples
    --------
    >>> with_process = ReadBack()
    >>> with_process.close()
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, checkpoint: Path) -> dict[str, Any]:
        """Read a checkpoint back and describe it.

        Raises
        ------
        CheckpointError
            It is damaged, or the other process died of it.
        """
        if self._process is None or self._process.poll() is not None:
            self.close()
            command = [sys.executable, "-m", __name__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # ours
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(MAX_SECONDS, process.kill)
        limit.start()
        try:
            process.stdin.write(json.dumps(str(checkpoint.absolute())) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError as error:
            raise CheckpointError(f"checkpoint must be readable by another process, which ended: {error}") from error
        finally:
            limit.cancel()
        if not line:
            raise CheckpointError(f"checkpoint must be readable by another process, which ended with {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "unread" in answer:
            raise UnreadCheckpointError(answer["unread"])
        if "fault" in answer:
            raise CheckpointError(answer["fault"])
        return answer

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                process.communicate()


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint back: a folder with a manifest, or a file of ``torch.save``.

    Returns
    -------
    dict
        ``sha256`` of the state; ``size`` in bytes; number of ``tensors``; and the parts with values that are ``nonfinite``.

    Raises
    ------
    CheckpointError
        It is damaged.
    UnreadCheckpointError
        It is a file with more than tensors and plain types, or of another format.
    """
    import torch

    from ganwatch.checkpoints.folder import STATE, load_foreign_states, read_checkpoint

    if path.is_dir():
        manifest, states = read_checkpoint(path)
        size, sha256 = manifest.size, manifest.files[STATE].sha256
    else:
        states = load_foreign_states(path)
        size, sha256 = hash_file(path)
    tensors = {name: [value for value in _iter_leaves(state) if isinstance(value, torch.Tensor)] for name, state in states.items()}
    nonfinite = [str(name) for name, values in tensors.items() if not all(bool(torch.isfinite(value).all()) for value in values)]
    return {"sha256": sha256, "size": size, "tensors": sum(map(len, tensors.values())), "nonfinite": nonfinite}


def _iter_leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _iter_leaves(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _iter_leaves(one)
    else:
        yield value


def _serve() -> None:
    """Answer until the other side closes."""
    os.nice(LOW_PRIORITY)
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    for line in sys.stdin:
        try:
            answer = describe_checkpoint(Path(json.loads(line)))
        except UnreadCheckpointError as error:
            answer = {"unread": str(error)}
        except Exception as error:  # noqa: BLE001  # whatever a file causes is its fault
            answer = {"fault": str(error) or type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
