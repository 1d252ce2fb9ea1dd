"""Default probes, detectors and sinks of a run; store and exporter are imported only if they are used."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ganwatch.core.detector import Detector
from ganwatch.core.detector_settings import Settings, create_detectors, discover_detectors, read_preset
from ganwatch.core.discovery import discover, discover_installed
from ganwatch.core.errors import UserError
from ganwatch.core.probe import Probe
from ganwatch.core.sink import Sink

if TYPE_CHECKING:
    from ganwatch.sinks.prometheus import PrometheusSink

log = logging.getLogger("ganwatch")

T = TypeVar("T")

STORE = "runs"
"""Default store: a folder below the current one."""


def default_probes(*own: Probe) -> list[Probe]:
    """Create one of every probe of ganwatch and of other installed packages; a given probe replaces the one of its name.

    >>> from ganwatch.probes.quality import Quality
    >>> [probe.share for probe in default_probes(Quality(share=0.1)) if probe.name == "quality"]
    [0.1]
    """
    names = {probe.name for probe in own}
    classes = discover("ganwatch.probes", Probe)  # type: ignore[type-abstract]  # the base is only compared with
    installed = _create_installed("ganwatch.probes", Probe)  # type: ignore[type-abstract]  # as above
    return [probe for probe in (*(cls() for cls in classes), *installed) if probe.name not in names] + list(own)


def _create_installed(group: str, base: type[T]) -> list[T]:
    """Create one of each class that other packages offer; one that fails is logged and left out."""
    created = []
    with _foreign_code(group):
        for cls in discover_installed(group, base):
            try:
                created.append(cls())
            except Exception:
                log.exception("%s of %s cannot be created without arguments and is left out", cls.__qualname__, group)
    return created


def _foreign_code(group: str) -> AbstractContextManager[None]:
    """Return a context for the import of what other packages offer, which may draw random numbers; does nothing if there is none."""
    if not entry_points(group=group):
        return nullcontext()
    from ganwatch.isolation.random_state import preserved_random_state

    return preserved_random_state()


def provenance(probes: Sequence[Probe]) -> dict[str, dict[str, Any]]:
    """Facts by probe name, for the probes that have facts beyond their name."""
    return {probe.name: facts for probe in probes if (facts := probe.provenance())}


def default_detectors(settings: Settings | None = None) -> list[Detector]:
    """Create one of every detector of ganwatch and of other installed packages; arguments not in ``settings`` keep their defaults.

    >>> from ganwatch.core.detector_settings import non_default_arguments
    >>> non_default_arguments(default_detectors({"GW101": {"min_vendi_ratio": 0.25}}))
    {'GW101': {'min_vendi_ratio': 0.25}}
    """
    with _foreign_code("ganwatch.detectors"):
        return create_detectors(discover_detectors(), settings)


def parse_preset(preset: str | Path | None, detectors: object) -> Settings | None:
    """Read the detector settings of a preset; None without one.

    Raises
    ------
    UserError
        The preset cannot be read, names an unknown detector or argument, or comes together with detectors.
    """
    if preset is None:
        return None
    if not isinstance(preset, str | Path):
        raise UserError(f"preset must be the path of a TOML file or None, got {type(preset).__name__}")
    if detectors is not None:
        raise UserError("preset sets arguments of the default detectors, so give preset or detectors, not both")
    settings = read_preset(preset)
    create_detectors(discover_detectors(), settings, f"preset {preset}")
    return settings


def default_sinks(store: str | Path | None = STORE, *, prometheus: PrometheusSink | None = None) -> list[Sink]:
    """Create the log sink, and behind a queue each store, exporter and the sinks of other installed packages.

    Parameters
    ----------
    store : str, Path or None
        A folder (SQLite inside it) or a SQLAlchemy URL; None stores nothing.
    prometheus : PrometheusSink or None
        An exporter that already listens.

    Raises
    ------
    UserError
        The store cannot be opened.
    """
    from ganwatch.sinks.background import BackgroundSink
    from ganwatch.sinks.log import LogSink

    sinks: list[Sink] = [LogSink()]
    if store is not None:
        from ganwatch.sinks.sql import SqlSink
        from ganwatch.store.database import open_store

        sinks.append(BackgroundSink(SqlSink(open_store(str(store)))))
    if prometheus is not None:
        sinks.append(BackgroundSink(prometheus))
    installed = _create_installed("ganwatch.sinks", Sink)  # type: ignore[type-abstract]  # a base to look for
    return [*sinks, *map(BackgroundSink, installed)]


def open_exporter(port: int | None) -> PrometheusSink | None:
    """Open a Prometheus exporter at a port of 127.0.0.1; None without a port."""
    if port is None:
        return None
    from ganwatch.sinks.prometheus import PrometheusSink

    return PrometheusSink(port)
