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

import torch
from torch import Tensor

from ganwatch.checkpoints.distributed import check_shards
from ganwatch.checkpoints.durable import hash_file
from ganwatch.checkpoints.folder import load_foreign_states, read_checkpoint
from ganwatch.checkpoints.manifest import NAME, STATE, CheckpointError, UnreadCheckpointError
from ganwatch.core.files import exists

OF_LIGHTNING = ("state_dict", "optimizer_states")
"""Parts of a checkpoint of Lightning that training has made; bounds of callbacks may be infinite."""
KNOWN_TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
MAX_SECONDS = 600.0
"""Longest time that a checkpoint may take to be read, in seconds."""
END_SECONDS = 5.0
"""Time that the other process has to end, in seconds; a forked child of the training may hold its input open."""
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
        answer = self._ask(checkpoint) or self._ask(checkpoint)  # again in a new process
        if answer is None:
            raise UnreadCheckpointError("not read back: the other process ended twice")
        if "unread" in answer:
            raise UnreadCheckpointError(answer["unread"])
        if "fault" in answer:
            raise CheckpointError(answer["fault"])
        return answer

    def _ask(self, checkpoint: Path) -> dict[str, Any] | None:
        """Return the answer of the other process, None if it ended."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _start_process()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        limit = threading.Timer(MAX_SECONDS, process.kill)
        limit.daemon = True
        limit.start()
        try:
            process.stdin.write(json.dumps(str(checkpoint.absolute())) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            return None
        finally:
            limit.cancel()
        answer: dict[str, Any] | None = json.loads(line) if line else None
        return answer

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                process.communicate(timeout=END_SECONDS) if process.poll() is None else process.communicate()
            process.kill()
            process.wait()


def _start_process() -> subprocess.Popen[str]:
    """Start the other process: out of reach of Ctrl-C, and with this package whatever the working folder holds."""
    paths = filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")])
    return subprocess.Popen(  # noqa: S603  # ours
        [sys.executable, "-P", "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )


def describe_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint back: a folder with a manifest, or a file of ``torch.save``.

    Returns
    -------
    dict
        ``sha256`` of the state; ``size`` in bytes; number of ``tensors``; and the parts that hold NaN, as ``nonfinite``.

    Raises
    ------
    CheckpointError
        It is damaged.
    UnreadCheckpointError
        It is a file with more than tensors and plain types, or of another format.
    """
    if path.is_dir() and not exists(path / NAME):
        check_shards(path)
        raise UnreadCheckpointError(f"{path.name} is a folder of another program, and is not read back")
    if path.is_dir():
        manifest, states = read_checkpoint(path)
        size, sha256 = manifest.size, manifest.files[STATE].sha256
    else:
        states = load_foreign_states(path)
        size, sha256 = hash_file(path)
        states = {name: states[name] for name in OF_LIGHTNING if name in states} or states
    tensors = {name: [value for value in _iter_leaves(state) if isinstance(value, torch.Tensor)] for name, state in states.items()}
    nonfinite = [str(name) for name, values in tensors.items() if any(map(_has_nan, values))]
    return {"sha256": sha256, "size": size, "tensors": sum(map(len, tensors.values())), "nonfinite": nonfinite}


def _has_nan(value: Tensor) -> bool:
    """Return True if a tensor holds a value that is not a number; infinity is a mask or a bound as often as a fault."""
    if not value.is_floating_point() or value.layout is not torch.strided:
        return False
    return bool(torch.isnan(value if value.dtype in KNOWN_TYPES else value.float()).any())


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
