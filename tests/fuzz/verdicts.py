"""Verdict on one input: read, refused, or a finding."""

from __future__ import annotations

import re
import resource
import signal
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cases import VALID, Case, Target

from ganwatch.core.errors import UserError

MAX_SECONDS = 10.0
"""Longest time that an input may take."""
MAX_BYTES = 600 * 2**20
"""Most memory that an input may take, in bytes."""
ADDRESS_SPACE = 6 * 2**30
"""Address space beyond that of the start, in bytes; beyond it allocations fail, so that a hole does not fill the machine."""
READ, REFUSED = "read", "refused"


@dataclass(frozen=True)
class Verdict:
    """Outcome of an input: ``read`` or ``refused``, and what is wrong, empty if nothing is; time in seconds and memory in bytes."""

    outcome: str
    finding: str = ""
    detail: str = ""
    seconds: float = 0.0
    memory: int = 0


class TimeIsOverError(BaseException):
    """The input took longer than ``MAX_SECONDS``; no handler of ``Exception`` stops it."""


class WrongError(AssertionError):
    """The target itself found something wrong."""


def judge(target: Target, case: Case, *, is_measured: bool = True) -> Verdict:
    """Read one input in a folder of its own. Without ``is_measured`` neither time nor memory counts."""
    failures: list[str] = []
    before = threading.excepthook
    threading.excepthook = lambda hook: failures.append(f"in a thread: {_locate(hook.exc_value)}")
    try:
        with tempfile.TemporaryDirectory(prefix="ganwatch-fuzz-") as folder, _clock(is_measured), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            resident = _resident() if is_measured else 0
            started = time.perf_counter()
            outcome, finding, detail = _read(target, case, Path(folder))
            seconds = time.perf_counter() - started
            memory = _peak() - resident if is_measured else 0
    except TimeIsOverError as error:
        return Verdict(READ, f"hang: {_locate(error)}", "", MAX_SECONDS)
    finally:
        threading.excepthook = before
    if failures and not finding:
        finding = failures[0]
    finding = re.sub(r"\d+,000 characters", "thousands of characters", finding)
    if memory > MAX_BYTES and not finding:
        finding = f"memory: {memory >> 20:,} MB"
    return Verdict(outcome, finding, detail, seconds, memory)


def _read(target: Target, case: Case, folder: Path) -> tuple[str, str, str]:
    try:
        value = target.read(case, folder)
    except (UserError, *target.refusals) as error:
        if case.kind == VALID:
            return REFUSED, "a valid input is refused", str(error)[:300]
        return REFUSED, check_line(str(error), allows_lines=target.allows_lines), str(error)[:300]
    except (Exception, SystemExit) as error:  # noqa: BLE001  # each is a finding
        return READ, _locate(error), "".join(traceback.format_exception(error, limit=-8))[-1500:]
    if case.kind == VALID and not equal(value, case.expected):
        return READ, "a valid input is read wrongly", f"got {value!r:.200}, expected {case.expected!r:.200}"
    return READ, "", ""


def check_line(text: str, *, allows_lines: bool) -> str:
    """Return what is wrong with a message to a person, empty if nothing is."""
    if not text.strip():
        return "an error without a text"
    if "\n" in text.strip() and not allows_lines:
        return "an error of several lines"
    return f"an error of {len(text) // 1000},000 characters" if len(text) > 5000 else ""


def equal(one: Any, other: Any) -> bool:
    """Return True if two values agree exactly; NaN agrees with NaN."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (one != one and other != other)  # noqa: PLR0124  # NaN
    return bool(one == other)


def _locate(error: BaseException | None) -> str:
    """Return type and place of an error: the last line of ganwatch, and the last of all."""
    if error is None:
        return "unknown"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/ganwatch/" in frame.filename]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in (*own[-1:], *frames[-1:])]
    return f"{type(error).__name__} at {' in '.join(dict.fromkeys(places))}"


def limit_memory() -> None:
    """Bound the address space of this process from now on."""
    status = Path("/proc/self/status").read_text("ascii")
    size = int(status.partition("VmSize:")[2].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE, resource.RLIM_INFINITY))


def _resident() -> int:
    """Return the memory of this process in bytes, and forget its highest so far."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return _field("VmRSS:")


def _peak() -> int:
    return _field("VmHWM:")


def _field(name: str) -> int:
    return int(Path("/proc/self/status").read_text("ascii").partition(name)[2].split()[0]) * 1024


@contextmanager
def _clock(is_measured: bool) -> Iterator[None]:
    if not is_measured:
        yield
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TimeIsOverError

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS, 1.0)  # again and again, as a callback may swallow the error
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
