"""The parts of a default set-up, wired lazily: what is watched, how it is judged, where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import Settings, made, own_detectors, read_preset
from ganwatch.core.discovery import discover
from ganwatch.core.errors import UserError
from ganwatch.core.probe import Probe
from ganwatch.core.sink import Sink

if TYPE_CHECKING:
    from ganwatch.sinks.prometheus import PrometheusSink

STORE = "runs"
"""Where runs are kept unless something else is said: a folder below the current one."""


def default_probes(*own: Probe) -> list[Probe]:
    """One of every probe in ``ganwatch.probes``; those given stand for the ones of the same name.

    >>> from ganwatch.probes.quality import Quality
    >>> [probe.share for probe in default_probes(Quality(share=0.1)) if probe.name == "quality"]
    [0.1]
    """
    names = {probe.name for probe in own}
    found = discover("ganwatch.probes", Probe)  # type: ignore[type-abstract]  # the base is only compared with
    return [cls() for cls in found if cls.name not in names] + list(own)


def provenance(probes: Sequence[Probe]) -> dict[str, dict[str, Any]]:
    """By name, of the probes whose name does not say all."""
    return {probe.name: facts for probe in probes if (facts := probe.provenance())}


def default_detectors(settings: Settings | None = None) -> list[Detector]:
    """One of every detector in ``ganwatch.detectors``, as shipped where ``settings`` do not say otherwise.

    >>> from ganwatch.core.detector_settings import changed
    >>> changed(default_detectors({"GW101": {"floor": 0.25}}))
    {'GW101': {'floor': 0.25}}
    """
    return made(own_detectors(), settings)


def checked_preset(preset: str | Path | None, detectors: object) -> Settings | None:
    """The settings in a preset, None without one.

    Raises
    ------
    UserError
        It cannot be read, names what is not there, or comes together with detectors.
    """
    if preset is None:
        return None
    if not isinstance(preset, str | Path):
        raise UserError(f"preset must be the path of a TOML file or None, got {type(preset).__name__}")
    if detectors is not None:
        raise UserError("preset sets arguments of the detectors that are made by default, so it goes without detectors")
    settings = read_preset(preset)
    made(own_detectors(), settings, f"preset {preset}")
    return settings


def default_sinks(store: str | Path | None = STORE, *, prometheus: PrometheusSink | None = None) -> list[Sink]:
    """Store and exporter behind queues of their own, and the log.

    Parameters
    ----------
    store : str, Path or None
        A folder (SQLite inside it) or a SQLAlchemy URL; None keeps nothing.
    prometheus : PrometheusSink or None
        An exporter that listens already.

    Raises
    ------
    UserError
        The store cannot be opened.
    """
    from ganwatch.sinks.background import Background
    from ganwatch.sinks.log import LogSink

    sinks: list[Sink] = [LogSink()]
    if store is not None:
        from ganwatch.sinks.sql import SqlSink
        from ganwatch.store.database import open_store

        sinks.append(Background(SqlSink(open_store(str(store)))))
    if prometheus is not None:
        sinks.append(Background(prometheus))
    return sinks
