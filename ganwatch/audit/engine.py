"""The audit: reads the data within the budget, then runs every check."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ganwatch.audit.check import Check, CheckInput, CheckResult
from ganwatch.audit.report import Finding, Level, Report
from ganwatch.audit.survey import survey
from ganwatch.core.detector import NotApplicable
from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError
from ganwatch.data.opening import open_source
from ganwatch.data.source import NotIndexableError, Source, to_array
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state

_log = logging.getLogger("ganwatch")
_READING_SHARE = 0.7
"""Share of the budget after which reading ends, so that the checks have time too."""
_TRAIN_READING_SHARE = 0.5
"""Share after which the training data are left for the held-out data, if there are any."""


def audit(
    data: Any,
    *,
    held_out: Any = None,
    generated: Any = None,
    generator_range: tuple[float, float] | None = None,
    batch_size: int | None = None,
    budget: float = 10.0,
    limit: int = 10_000,
    seed: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Report:
    """Look for faults in training data before the first step.

    The data are read by index, never through an iterator of the user's, on a shallow copy of the data set. Every random state is restored
    afterwards. Given enough time the report depends on the data and ``seed`` alone.

    Parameters
    ----------
    data : Dataset, DataLoader, tensor, ndarray, pair of arrays, path or "digits"
        Real training data. Items are arrays, images, or pairs or mappings that hold one, with a label if there is one. A path is a folder
        of images, an ``.npy`` or an ``.npz`` file. Only the data set of a DataLoader is read.
    held_out : like ``data``, or None
        Data kept from training.
    generated : (N, ...) tensor or ndarray, or None
        Samples of the generator, as the discriminator gets them.
    generator_range : (low, high) or None
        Values that the generator can output, (-1, 1) for a final tanh; infinite without a bound.
    batch_size : int or None, >= 1
        Items of a training step; None takes the batch size of the DataLoader, if any.
    budget : float, seconds, > 0
        Time to take once the data are open. It is checked between items, so a single slow item may exceed it.
    limit : int, >= 1
        Items to read at most, chosen at random.
    seed : int, >= 0
        Seed of the choice and order of items.
    clock : callable
        Monotonic time in seconds, for tests.

    Returns
    -------
    Report
        Findings with code GW503, and the result of each check.

    Raises
    ------
    UserError
        An argument is out of its range, or the data are empty, missing or not supported.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.random.default_rng(0).random((1200, 8, 8))
    >>> images[7] = 0.5
    >>> [(finding.check, finding.examples) for finding in audit(images).findings]
    [('constant', (7,))]
    """
    _require(budget > 0, "budget must be > 0 (seconds)", budget)
    _require(limit >= 1, "limit must be >= 1 (items)", limit)
    _require(seed >= 0, "seed must be >= 0", seed)
    _require(batch_size is None or batch_size >= 1, "batch_size must be >= 1 (items)", batch_size)
    if generator_range is not None:
        ordered = len(generator_range) == 2 and generator_range[0] < generator_range[1]  # a pair
        _require(ordered, "generator_range must be (low, high) with low < high", generator_range)
    checks = sorted((check() for check in discover("ganwatch.audit.checks", Check)), key=lambda check: check.order)  # type: ignore[type-abstract]  # the base of the checks
    try:
        source = open_source(data)
    except NotIndexableError as reason:
        return Report(type(data).__name__, 0, 0, results={check.name: f"not applicable: {reason}" for check in checks})
    other = _open_held_out(held_out)
    samples = None if generated is None else _to_samples(generated)
    start = clock()

    def expired_after(part: float) -> Callable[[], bool]:
        return lambda: clock() - start > part * budget

    with preserved_random_state(*find_all_generators(), seed=seed):
        train_share = _READING_SHARE if other is None else _TRAIN_READING_SHARE
        train = survey(source, limit=limit, seed=seed, is_expired=expired_after(train_share))
        end = expired_after(_READING_SHARE)
        held_out = survey(other, limit=limit, seed=seed + 1, is_expired=end) if isinstance(other, Source) else other
    check_input = CheckInput(train, held_out, samples, generator_range, batch_size or source.batch_size, expired_after(1.0))
    results = {check.name: _examine(check, check_input) for check in checks}
    findings = [result for result in results.values() if isinstance(result, Finding)]
    findings.sort(key=lambda finding: finding.severity is not Level.WARNING)
    described = {name: _describe(result) for name, result in results.items()}
    return Report(source.name, source.size, train.read_count, tuple(findings), described)


def _require(rule: bool, text: str, got: object) -> None:
    if not rule:
        raise UserError(f"{text}, got {got!r}")


def _open_held_out(held_out: Any) -> Source | NotApplicable | None:
    if held_out is None:
        return None
    try:
        return open_source(held_out, "held_out")
    except NotIndexableError as reason:
        return NotApplicable(f"held_out: {reason}")


def _to_samples(generated: Any) -> NDArray[Any]:
    array = np.asarray(to_array(generated), dtype=np.float64)
    _require(array.ndim > 1 and array.size > 0, "generated must have shape (N, ...) with N >= 1", array.shape)
    return array


def _examine(check: Check, check_input: CheckInput) -> CheckResult | Exception:
    try:
        if not check_input.train.items and check.name != "unreadable":
            return NotApplicable("no item could be read")
        return check.examine(check_input)
    except Exception as error:  # noqa: BLE001  # a check that fails must not keep the training from starting
        _log.exception("data check %s failed", check.name)
        return error


def _describe(result: CheckResult | Exception) -> str:
    if result is None:
        return "passed"
    if isinstance(result, Finding):
        return "finding"
    if isinstance(result, NotApplicable):
        return f"not applicable: {result.reason}"
    return f"failed: {type(result).__name__}: {result}" if isinstance(result, Exception) else str(result)
