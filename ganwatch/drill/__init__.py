"""Rehearse: bring the real cause of a failure into a training that runs, at a chosen step.

``inject`` works on any loop, ``Drill`` is the Lightning callback, ``injections`` says what there is, and ``ganwatch drill`` does the
whole rehearsal on the reference trainer. Nothing of torch is imported before one of the first two is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ganwatch.drill.injection import Injection, injections

if TYPE_CHECKING:
    from ganwatch.drill.callback import Drill
    from ganwatch.drill.injecting import ActiveInjection, inject

__all__ = ["Drill", "Injected", "Injection", "inject", "injections"]


def __getattr__(name: str) -> Any:
    if name in {"inject", "Injected"}:
        from ganwatch.drill import injecting

        return getattr(injecting, name)
    if name == "Drill":
        from ganwatch.drill.callback import Drill

        return Drill
    raise AttributeError(f"module 'ganwatch.drill' has no attribute {name!r}")
