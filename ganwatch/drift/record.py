"""Reads and writes the drift checks and accepted references of a run in the store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError, show_value
from ganwatch.core.plain_records import read_record
from ganwatch.data.arrays import read_features
from ganwatch.drift.kernel import as_features, random_subset
from ganwatch.drift.permutation import MAX_SAMPLES
from ganwatch.store.artifacts import ArtifactRoot
from ganwatch.store.audit_log import DRIFT_ACTOR, DRIFT_CHECKED, GENERATOR_ACCEPTED, AuditEntry, append_entry, read_entries
from ganwatch.store.database import Store
from ganwatch.store.queries import run as run_of
from ganwatch.store.rows import row_of


@dataclass(frozen=True, slots=True)
class Reference:
    """Features ``(N, D)`` of samples that a generator drew when it was accepted, and their extractor."""

    features: Tensor
    extractor: Mapping[str, Any]
    created: float


@dataclass(frozen=True, slots=True)
class AcceptedReference:
    """Details of an accepted generator, as ``save_reference`` writes them."""

    path: str
    sha256: str
    count: int
    extractor: Mapping[str, Any]


def recorded_checks(store: Store, run: str) -> list[AuditEntry]:
    """Return the drift checks of a run, oldest first; ``detail`` holds ``Drift.as_dict()`` and ``report``."""
    return read_entries(store, DRIFT_CHECKED, run)


def save_reference(store: Store, run: str, features: Any, extractor: Mapping[str, Any], *, seed: int = 0) -> None:
    """Save what the generator draws now as its reference for later checks.

    Parameters
    ----------
    store : Store
    run : str
        Id of the run.
    features : (N, D) array or tensor
        Features of generated samples; of more than 5,000 a random subset is saved.
    extractor : mapping
        Provenance of the features, as plain types.
    """
    reference = random_subset(as_features(features, "generated"), MAX_SAMPLES, np.random.default_rng(seed))
    buffer = io.BytesIO()
    np.save(buffer, reference.numpy(), allow_pickle=False)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = f"{run}/drift/accepted-{digest[:12]}.npy"
    _artifact_root(store, run).write(path, content)
    detail = {"path": path, "sha256": digest, "count": len(reference), "extractor": dict(extractor)}
    append_entry(store, DRIFT_ACTOR, GENERATOR_ACCEPTED, run, detail)


def read_reference(store: Store, run: str, extractor: Mapping[str, Any]) -> Reference | None:
    """Return the reference accepted last, None if there is none.

    Raises
    ------
    UserError
        It has the features of another extractor, or its file is missing or was changed.
    """
    rows = read_entries(store, GENERATOR_ACCEPTED, run)
    if not rows:
        return None
    with row_of("audit", {"id": run}):
        last = read_record(AcceptedReference, rows[-1].detail)
    if last.extractor != dict(extractor):
        raise UserError(
            f"reference must have the features of this check, {dict(extractor)}, got {show_value(dict(last.extractor))}; "
            "accept the generator anew with --accept"
        )
    try:
        content = _artifact_root(store, run).read(last.path)
    except FileNotFoundError:
        raise UserError(f"reference must be where it was written, got no file {last.path!r} among the artifacts of run {run}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != last.sha256:
        raise UserError(f"reference must be the file that was written, SHA-256 {last.sha256}, got {digest} in {last.path!r}")
    features = torch.from_numpy(read_features(io.BytesIO(content), last.path, "reference"))
    return Reference(features, last.extractor, rows[-1].created)


def _artifact_root(store: Store, run: str) -> ArtifactRoot:
    root = run_of(store, run).artifact_root
    return ArtifactRoot.of_store(root) if root else store.artifacts
