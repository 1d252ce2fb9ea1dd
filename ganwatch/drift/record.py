"""Drift checks and accepted references in the store, with the run that they belong to."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganwatch.core.errors import UserError
from ganwatch.drift.kernel import as_features, subset
from ganwatch.drift.permutation import LIMIT
from ganwatch.drift.verdict import Drift
from ganwatch.store.artifacts import ArtifactRoot
from ganwatch.store.audits import DRIFT_CHECKED, GENERATOR_ACCEPTED, AuditRecord, append, entries
from ganwatch.store.database import Store
from ganwatch.store.queries import run as run_of

ACTOR = "ganwatch drift"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a generator drew when it was accepted, as features ``(N, D)``, and how these were made."""

    features: Tensor
    extractor: Mapping[str, Any]
    created: float


def record_check(store: Store, run: str, found: Drift, *, report: str | None = None) -> None:
    """Write a verdict down with its run; ``report`` is where the HTML file is."""
    append(store, ACTOR, DRIFT_CHECKED, run, found.as_dict() | {"report": report})


def recorded_checks(store: Store, run: str) -> list[AuditRecord]:
    """The drift checks of a run, in order; ``detail`` is what ``Drift.as_dict`` gave, and ``report``."""
    return entries(store, DRIFT_CHECKED, run)


def accept(store: Store, run: str, features: Any, extractor: Mapping[str, Any], *, seed: int = 0) -> None:
    """Keep what the generator draws now as the reference that it is compared with from now on.

    Parameters
    ----------
    store : Store
    run : str
        Id.
    features : (N, D) array or tensor
        Of generated samples; of more than 5,000 a random subset is kept.
    extractor : mapping
        Provenance of the features, plain types.
    """
    kept = subset(as_features(features, "generated"), LIMIT, np.random.default_rng(seed))
    buffer = io.BytesIO()
    np.save(buffer, kept.numpy(), allow_pickle=False)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    path = f"{run}/drift/accepted-{digest[:12]}.npy"
    _root(store, run).write(path, content)
    append(store, ACTOR, GENERATOR_ACCEPTED, run, {"path": path, "sha256": digest, "count": len(kept), "extractor": dict(extractor)})


def accepted(store: Store, run: str, extractor: Mapping[str, Any]) -> Reference | None:
    """The reference accepted last, None where there is none.

    Raises
    ------
    UserError
        It was made with another extractor, or its file is not there or not the one that was written.
    """
    known = entries(store, GENERATOR_ACCEPTED, run)
    if not known:
        return None
    last = known[-1]
    if last.detail["extractor"] != dict(extractor):
        raise UserError(
            f"reference must have the features of this check, got {dict(last.detail['extractor'])} where this check has {dict(extractor)}; "
            "accept the generator anew with --accept"
        )
    path = last.detail["path"]
    try:
        content = _root(store, run).read(path)
    except FileNotFoundError:
        raise UserError(f"reference must be where it was written, got no file {path!r} among the artifacts of run {run}") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != last.detail["sha256"]:
        raise UserError(f"reference must be the file that was written, SHA-256 {last.detail['sha256']}, got {digest} in {path!r}")
    features = torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False))
    return Reference(features, last.detail["extractor"], last.created)


def _root(store: Store, run: str) -> ArtifactRoot:
    root = run_of(store, run).artifact_root
    return ArtifactRoot(root) if root else store.artifacts
