"""Stand-in for a watch under GANWATCH_DISABLED=1."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self


class DisabledWatch:
    """Accepts every call and does nothing, but passes a loaded state on to the next checkpoint."""

    _state: Mapping[str, Any] = MappingProxyType({})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._state = state

    def _ignore(self, *_: Any, **__: Any) -> None:
        pass

    real = fake = log = close = status = _ignore
