"""Traces a backward pass to the networks whose gradients it changes, by the gradients of their first and last parameters."""

from __future__ import annotations

from collections.abc import Sequence

from ganwatch.capture.attribution.parameter_ownership import Ownership

GradientVersion = tuple[int, int] | None
"""Identity of a gradient and number of writes to it; None without one."""


class GradientChanges:
    """Changes of the gradients of watched networks.

    Examples
    --------
    >>> from torch import nn
    >>> g, d = nn.Linear(2, 2), nn.Linear(2, 1)
    >>> changes = GradientChanges(Ownership({"g": g, "d": d}))
    >>> before = changes.look()
    >>> d(g.weight).sum().backward()
    >>> held, reached = changes.find_roles(before)
    >>> held, reached == {"g", "d"}
    (set(), True)
    """

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership

    def look(self) -> list[GradientVersion]:
        """Return the version of each end parameter's gradient."""
        gradients = [end.grad for _, end in self._ownership.end_parameters]
        return [None if gradient is None else (id(gradient), getattr(gradient, "_version", 0)) for gradient in gradients]

    def find_roles(self, before: Sequence[GradientVersion]) -> tuple[set[str], set[str]]:
        """Return the networks that had gradients when ``look`` returned ``before``, and those whose gradients have changed since."""
        ends = [(role, earlier, now) for (role, _), earlier, now in zip(self._ownership.end_parameters, before, self.look(), strict=True)]
        return {role for role, earlier, _ in ends if earlier is not None}, {role for role, earlier, now in ends if earlier != now}

    def find_complete(self, parameters: Sequence[object]) -> set[str]:
        """Return the networks that have their end parameters among these."""
        ids = {id(parameter) for parameter in parameters}
        ends = self._ownership.end_parameters
        return {role for role, _ in ends} - {role for role, end in ends if id(end) not in ids}
