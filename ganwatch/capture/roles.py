"""Tells real from fake where the batches themselves do not, by what the losses ask of the discriminator.

In the generator's phase the loss wants D's output on fakes to move towards that on reals. In D's own phase it wants the output on
reals to move the same way and that on fakes the other way, whatever the loss and its polarity.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ganwatch.capture.step import Call, per_sample

AGREED = 0.75
"""Share of samples with a slope that must want the same direction."""
SLOPED = 0.1
"""Share of samples that must have a slope at all."""


def settle(calls: Sequence[Call]) -> None:
    """Give every unknown batch of the discriminator's own phase its name, where the step says so without a contradiction.

    Examples
    --------
    >>> import torch
    >>> def call(batch, slope, attached=False):
    ...     return Call("d", (torch.zeros(2, 3),), torch.zeros(2), batch, True, 1, attached, slope=torch.tensor(slope))
    >>> calls = [call("unknown", [-0.5, -0.1]), call("fake", [0.5, 0.4]), call("fake", [-0.5, -0.6], attached=True)]
    >>> settle(calls)
    >>> [one.batch for one in calls]
    ['real', 'fake', 'fake']
    """
    phases = [call for call in calls if call.network == "d" and call.graded and call.slope is not None]
    unknown = [call for call in phases if call.batch == "unknown" and not call.attached]
    if not unknown:
        return
    asked = {_direction(call.slope) for call in phases if call.attached}
    if len(asked) != 1 or 0 in asked:
        return
    [towards_real] = asked
    expected = {"real": towards_real, "fake": -towards_real}
    known = [call for call in phases if call.batch in expected and not call.attached]
    if any(_direction(call.slope) == -expected[call.batch] for call in known):
        return
    for call in unknown:
        direction = _direction(call.slope)
        call.batch = next((batch for batch, way in expected.items() if way == direction), "unknown")


def _direction(slope: Tensor | None) -> int:
    """Sign of the movement that a batch's slopes ask for: 1 up, -1 down, 0 where they do not agree."""
    if slope is None:
        return 0
    each = per_sample(slope)
    up, down = float((each < 0).float().mean()), float((each > 0).float().mean())
    if up + down < SLOPED or max(up, down) < AGREED * (up + down):
        return 0
    return 1 if up > down else -1
