"""Drills: bring the real cause of a failure into a running training, at a chosen step.

``inject`` works on any loop, ``Drill`` is the Lightning callback, ``injections`` lists the causes, and ``ganwatch drill`` runs a
complete drill on the reference trainer. Torch is imported only when one of the first two is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganwatch.drill.injection import Injection, injections

if TYPE_CHECKING:
    from ganwatch.drill.active_injection import ActiveInjection, inject
    from ganwatch.drill.callback import Drill

__all__ = ["Drill", "Injected", "Injection", "inject", "injections"]


def __getattr__(name: str) -> Any:
    if name in {"inject", "Injected"}:
        from ganwatch.drill import active_injection

        return getattr(active_injection, name)
    if name == "Drill":
        from ganwatch.drill.callback import Drill

        return Drill
    raise AttributeError(f"module 'ganwatch.drill' has no attribute {name!r}")
