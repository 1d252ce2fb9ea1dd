"""Registry of models: registers checkpoints as versions, judges them by today's incidents, promotes, rolls back and resolves them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganwatch.checkpoints.manifest import NAME, read_manifest
from ganwatch.core.checkpoints import CheckpointVerdict, Quality, find_last_good
from ganwatch.core.errors import UserError, show_value
from ganwatch.core.files import exists
from ganwatch.core.signals import catalogue
from ganwatch.models.files import FOLDER, check_version, copy_checkpoint
from ganwatch.models.verdicts import VersionJudge
from ganwatch.store import models, queries, series
from ganwatch.store.audit_log import append_entry, read_history
from ganwatch.store.checkpoints import find_by_content, judge_checkpoints
from ganwatch.store.database import Store
from ganwatch.store.models import (
    CANDIDATE,
    CURRENT,
    GATED,
    PROMOTED,
    ROLLED_BACK,
    ModelRecord,
    ModelVersion,
    RevisionError,
    describe_revision,
)
from ganwatch.store.records import RunRecord

LAST_GOOD = "last-good"
"""Alias of the version to go back to; it is found by the verdicts of today and never stored."""
ALIASES = (CURRENT, CANDIDATE, LAST_GOOD)
QUALITY_GROUP, ERROR_SUFFIX, NO_SCORES = "evaluation", "_error", {"reference"}
"""Group of the signals that a version takes from its run as scores, end of the name of a standard error, and signals that are no score."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True, slots=True)
class JudgedVersion:
    """A version with its verdict of today and its aliases."""

    version: ModelVersion
    verdict: CheckpointVerdict
    aliases: tuple[str, ...]


class ModelRegistry:
    """Models of a store.

    Parameters
    ----------
    store : Store
        Opened for writing, if something is to change.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def register(
        self,
        model: str,
        checkpoint: str | Path | None = None,
        *,
        actor: str,
        run: str | None = None,
        declared: Mapping[str, Any] | None = None,
    ) -> ModelVersion:
        """Register a checkpoint as a version, and let ``candidate`` name it.

        Parameters
        ----------
        model : str
            Name of the model, which is created with its first version.
        checkpoint : path, optional
            Checkpoint; None takes the last good one of ``run``.
        run : str, optional
            Run that saved it: id, name or ``latest``. None finds the run that has recorded this path, if any.
        actor : str
            Who or what registers it.
        declared : mapping, optional
            What is declared about data, rights and use.

        Raises
        ------
        UserError
            The name breaks a rule, the run has no good checkpoint, or the checkpoint cannot be read.
        """
        check_name(model)
        record = None if run is None else queries.find_run(self.store, run)
        if checkpoint is None:
            checkpoint = self._last_good_path(record)
        path, sha256, size = copy_checkpoint(Path(checkpoint), self._root() / FOLDER / model)
        record, step = self._find_origin(record, Path(checkpoint), sha256)
        provenance = {"origin": str(Path(checkpoint).absolute()), **({} if record is None else record.provenance)}
        scores = {} if record is None else self._scores(record.id, step)
        version = ModelVersion(
            0, sha256, path.relative_to(self._root()).as_posix(), size, run=None if record is None else record.id, step=step,
            scores=scores, provenance=provenance,
            declared=dict(declared or {}),
        )  # fmt: skip
        return models.add_version(self.store, model, version, actor=actor)

    def show(self, model: str) -> tuple[ModelRecord, list[JudgedVersion]]:
        """Return a model and its versions with their verdicts, oldest first."""
        record, judge = models.find_model(self.store, model), VersionJudge(self.store, model)
        found = models.versions(self.store, record)
        last_good = judge.find_last(found, Quality.GOOD)
        aliases = dict(record.aliases) | ({} if last_good is None else {LAST_GOOD: last_good.version})
        return record, [
            JudgedVersion(one, judge.judge(one), tuple(name for name in ALIASES if aliases.get(name) == one.version)) for one in found
        ]

    def find(self, model: str, which: str | int = CURRENT) -> JudgedVersion:
        """Return a version by its number or alias, with its verdict.

        Raises
        ------
        UserError
            There is none.
        """
        number = self._find_version(model, which).version
        return next(one for one in self.show(model)[1] if one.version.version == number)

    def resolve(self, model: str, which: str | int = CURRENT) -> Path:
        """Return the path of a version whose files are those that were registered.

        Raises
        ------
        UserError
            There is no such version, or its files are gone or changed.
        """
        version = self._find_version(model, which)
        path = self.path_of(version)
        check_version(path, version.sha256)
        return path

    def path_of(self, version: ModelVersion) -> Path:
        """Return where the files of a version lie: below the artifacts of the store, wherever the store is now.

        Raises
        ------
        UserError
            The store names another place.
        """
        parts = Path(version.path).parts
        if not parts or parts[0] != FOLDER or ".." in parts or "\0" in version.path:
            raise UserError(f"the files of a version must lie below {FOLDER} of the artifacts, got {show_value(version.path)}")
        return self._root() / version.path

    def promote(self, model: str, which: str | int, revision: int, *, actor: str, reason: str = "") -> ModelRecord:
        """Let ``current`` name a version.

        Parameters
        ----------
        model : str
        which : str or int
            Number or alias.
        revision : int
            Present revision of the model; whoever names it second is refused.
        actor, reason : str
            For the audit log.

        Raises
        ------
        UserError
            The version is bad, a gate called it worse than the version in use, or its files are gone.
        RevisionError
            The model has another revision.
        """
        record = models.find_model(self.store, model)
        chosen = self.find(model, which)
        version = chosen.version
        if version.version == record.aliases.get(CURRENT):
            raise UserError(f"VERSION must be another one than the current one, got {version.version}")
        if chosen.verdict.quality is Quality.BAD:
            raise UserError(f"version {version.version} of model {model} must not be bad, got {chosen.verdict.reason}")
        gate = self._last_gate(model, version.version, record.aliases.get(CURRENT))
        if gate is not None and gate.get("outcome") == "worse":
            raise UserError(f"version {version.version} of model {model} must not be worse than the current one, as the last gate says")
        return self._change(record, chosen, revision, {"gate": gate}, action=PROMOTED, actor=actor, reason=reason)

    def roll_back(self, model: str, revision: int, *, to: str | int | None = None, actor: str, reason: str = "") -> ModelRecord:
        """Let ``current`` name the last good version, or ``to``; the version in use counts as bad from now on.

        ``to`` is a version that was in use; it may be one that was rolled back, which takes that rollback back.

        Raises
        ------
        UserError
            No other version has been in use and is not bad, or its files are gone.
        RevisionError
            The model has another revision.
        """
        record, judge = models.find_model(self.store, model), VersionJudge(self.store, model)
        current = record.aliases.get(CURRENT)
        if to is None:
            others = [one for one in models.versions(self.store, record) if one.version != current]
            target = judge.find_last(others, Quality.GOOD) or judge.find_last(others, Quality.UNKNOWN)
            if target is None:
                raise UserError(f"model {model} must have a version that was in use and is not bad, got none; name one with --to")
        else:
            target = self._find_version(model, to)
            if target.version == current or not judge.was_in_use(target.version):
                raise UserError(f"--to must be a version that was in use before the current one, got {to}; promote another one")
        verdict = judge.judge_by_run(target)  # a person may take an earlier rollback back
        if verdict.quality is Quality.BAD:
            raise UserError(f"version {target.version} of model {model} must not be bad, got {verdict.reason}")
        return self._change(record, JudgedVersion(target, verdict, ()), revision, {}, action=ROLLED_BACK, actor=actor, reason=reason)

    def record_gate(self, model: str, version: int, baseline: int, result: Mapping[str, Any], *, actor: str) -> None:
        """Write the result of a gate between two versions to the audit log."""
        append_entry(self.store, actor, GATED, model, {"version": version, "baseline": baseline} | dict(result))

    def _change(
        self, record: ModelRecord, chosen: JudgedVersion, revision: int, evidence: Mapping[str, Any], **facts: str
    ) -> ModelRecord:
        if record.revision != revision:  # what was checked is that of another revision
            raise RevisionError(describe_revision(self.store, record.name, revision))
        check_version(self.path_of(chosen.version), chosen.version.sha256)
        of_version = {"verdict": str(chosen.verdict.quality), "verdict_reason": chosen.verdict.reason, "sha256": chosen.version.sha256}
        return models.change_current(
            self.store, record, chosen.version.version, revision, evidence=of_version | dict(evidence), **facts
        )

    def _find_version(self, model: str, which: str | int) -> ModelVersion:
        """Return a version by its number or alias; verdicts are needed for ``last-good`` alone."""
        record = models.find_model(self.store, model)
        found, aliases = models.versions(self.store, record), dict(record.aliases)
        if which == LAST_GOOD and (last_good := VersionJudge(self.store, model).find_last(found, Quality.GOOD)) is not None:
            aliases[LAST_GOOD] = last_good.version
        number = aliases.get(str(which), which)
        for one in found:
            if str(one.version) == str(number):
                return one
        known = ", ".join([*aliases, *(str(one.version) for one in found)])
        raise UserError(f"version must be one of model {model}, {known}, got {which!r}")

    def _last_gate(self, model: str, version: int, baseline: int | None) -> dict[str, Any] | None:
        for entry in reversed(read_history(self.store, model, (GATED,))):
            if (entry.detail.get("version"), entry.detail.get("baseline")) == (version, baseline):
                return {name: entry.detail.get(name) for name in ("outcome", "margin", "level")} | {"at": entry.created}
        return None

    def _last_good_path(self, run: RunRecord | None) -> str:
        if run is None:
            raise UserError("a checkpoint must be given, or a run whose last good one is taken, got neither")
        found = find_last_good(judge_checkpoints(self.store, run))
        if found is None:
            raise UserError(f"run {run.id} must have a good checkpoint, got none: `ganwatch checkpoints {run.id}` says why")
        return found.path

    def _find_origin(self, run: RunRecord | None, checkpoint: Path, sha256: str) -> tuple[RunRecord | None, int | None]:
        """Return the run and the step of a checkpoint: from its manifest, or from the store's record of its content."""
        recorded = [one for one in find_by_content(self.store, sha256) if run is None or one[0] == run.id]
        if recorded:
            run_id, step = recorded[0]
            return run or queries.run(self.store, run_id), step
        return run, read_manifest(checkpoint).step if exists(checkpoint / NAME) else None

    def _scores(self, run: str, step: int | None) -> dict[str, Any]:
        """Return the latest quality of a run up to a step, with its standard error where it was measured."""
        signals, scores = catalogue(), {}
        for name in series.series_names(self.store, run):
            if name not in signals or signals[name].group != QUALITY_GROUP or name in NO_SCORES:
                continue
            steps, values = series.series(self.store, run, name, end=step)
            known = [(int(at), float(value)) for at, value in zip(steps, values, strict=True) if math.isfinite(value)]
            if known:
                scores[name] = {"step": known[-1][0], "value": known[-1][1]}
        errors = {name: scores.pop(name) for name in [*scores] if name.endswith(ERROR_SUFFIX)}
        for name, error in errors.items():
            measured = scores.get(name.removesuffix(ERROR_SUFFIX), {})
            if measured.get("step") == error["step"]:
                measured["error"] = error["value"]
        return scores

    def _root(self) -> Path:
        root = self.store.artifacts.url
        if "://" in root:
            raise UserError(f"artifacts of the store must lie in a folder to hold versions, got {show_value(root)}")
        return Path(root)


def check_name(model: str) -> None:
    """Refuse a name of a model that no folder and no command takes.

    Raises
    ------
    UserError
        It breaks the rule.
    """
    if not _NAME.fullmatch(model):
        raise UserError(f"MODEL must be 1 to 64 letters, digits, '.', '_' and '-', a letter or a digit first, got {show_value(model)}")

