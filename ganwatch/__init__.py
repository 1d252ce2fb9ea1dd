"""ganwatch watches GAN training and names a failure, with evidence, while it happens.

``watch`` watches any PyTorch loop and ``auto`` a loop inside a library, whose networks you cannot reach. ``GanWatch`` is the Lightning
callback; ``FreshDataDrift`` is a callback that compares fresh data with a baseline. Each is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganwatch.checkpoints.folder import load_checkpoint
    from ganwatch.session.auto import auto
    from ganwatch.session.drift_callback import FreshDataDrift
    from ganwatch.session.lightning import GanWatch
    from ganwatch.session.watch import watch

__version__ = "0.1.0"
__all__ = ["FreshDataDrift", "GanWatch", "__version__", "auto", "load_checkpoint", "watch"]


def __dir__() -> list[str]:
    """Return the names of the package, also of what is imported when it is first used."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in {"GanWatch", "FreshDataDrift"}:
        try:
            if name == "FreshDataDrift":
                from ganwatch.session.drift_callback import FreshDataDrift

                return FreshDataDrift
            from ganwatch.session.lightning import GanWatch
        except ModuleNotFoundError as error:
            if error.name != "lightning":
                raise
            raise ImportError(f'{name} needs lightning: pip install "ganwatch[lightning]"') from error
        return GanWatch
    if name == "watch":
        from ganwatch.session.watch import watch

        return watch
    if name == "load_checkpoint":
        from ganwatch.checkpoints.folder import load_checkpoint

        return load_checkpoint
    if name == "auto":
        from ganwatch.session.auto import auto

        return auto
    raise AttributeError(f"module 'ganwatch' has no attribute {name!r}")
