"""Tells the family of a loss by the operations between a score and the loss that is back-propagated.

The slopes (``loss_family.py``) tell it with targets and polarity, where each output is judged by itself, with one label, among several.
Random labels, half precision, one or two outputs and relativistic losses leave the operations alone as evidence. Every path from the
loss to the score must lead through one and the same operation that makes the family; anything unusual on the way, and nothing is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

BUDGET = 1000
"""Operations that are looked through at most."""
_MARK = "ganwatch"
_COMBINING = {"Sub", "Rsub", "Add"}
_CARRYING = _COMBINING.union(
    ("Alias", "AsStrided", "Cat", "Clone", "Div", "Expand", "Index", "IndexSelect", "Mean", "Mul", "Neg", "Permute", "ReshapeAlias"),
    ("Select", "Slice", "Split", "SplitWithSizes", "Squeeze", "Stack", "Sum", "T", "ToCopy", "Transpose", "Unbind", "UnsafeView"),
    ("Unsqueeze", "View", "torch::autograd::CopyBackwards"),
)
"""What leaves a loss linear in the score."""
_LOGITS, _PROBABILITIES = "binary cross-entropy on logits (softplus)", "binary cross-entropy on probabilities (D ends in a sigmoid)"
_FAMILIES: Mapping[frozenset[str], str] = {
    **dict.fromkeys(map(frozenset, (["BinaryCrossEntropyWithLogits"], ["Softplus"], ["LogSigmoid"])), _LOGITS),
    **dict.fromkeys(map(frozenset, (["Sigmoid", "BinaryCrossEntropy"], ["Sigmoid", "Log"])), _LOGITS),
    **dict.fromkeys(map(frozenset, (["BinaryCrossEntropy"], ["Log"])), _PROBABILITIES),
    **dict.fromkeys(map(frozenset, (["MseLoss"], ["Pow"])), "least squares"),
    **dict.fromkeys(map(frozenset, (["Relu"], ["Clamp"], ["ClampMin"], ["Minimum"], ["Maximum"])), "hinge"),
    frozenset(): "Wasserstein",
}
_SHIFTED = {"least squares", "hinge", _PROBABILITIES}
"""Families in which a constant is added to the score or taken from it."""


def mark(score: Tensor) -> object:
    """Make a score known to ``family``, by the mark that is given back; it is on the score's graph and goes with it."""
    own, node = object(), cast("Any", score.grad_fn)
    if node is not None:
        node.metadata[_MARK] = own
    return own


def family(marked: object, loss: Tensor) -> str | None:
    """The family of a loss by what is done to a score on the way to it; None where that is not sure.

    Examples
    --------
    >>> import torch
    >>> from torch.nn import functional as F
    >>> real, fake = (torch.zeros(1, requires_grad=True) * 1.0 for _ in range(2))
    >>> r, f = mark(real), mark(fake)
    >>> family(r, F.relu(1 - real).mean() + F.relu(1 + fake).mean()), family(f, fake.mean() - real.mean())
    ('hinge', 'Wasserstein')
    >>> family(r, F.softplus(fake.mean() - real).mean())
    'relativistic, binary cross-entropy on logits (softplus)'
    >>> family(r, real.mean() + 1e-3 * real.square().mean()), family(r, real.exp().mean())
    (None, None)
    """
    reached = None if loss.grad_fn is None else _scores_below(loss.grad_fn)
    own = next((node for node in reached or () if node.metadata.get(_MARK) is marked), None)
    if reached is None or own is None:
        return None
    on_the_way = [node for node, scores in reached.items() if own in scores and node is not own]
    making = [node for node in on_the_way if _name(node) not in _CARRYING]
    found = _FAMILIES.get(frozenset(map(_name, making)))
    if found is None or any(_name(node) == "Pow" and node._saved_exponent != 2 for node in making):  # noqa: SLF001  # a number
        return None
    if any(_name(node) in {"Mul", "Div"} and len(_compared(node, reached)) > 1 for node in on_the_way):
        return None
    if making and _carried(loss.grad_fn, own):
        return None
    below = [node for top in making for node in _below(top, reached) if _name(node) in _COMBINING and own in reached[node]]
    if any(len(_compared(node, reached)) > 1 for node in below):
        return None if any(_name(node) == "Add" for node in below if len(_compared(node, reached)) > 1) else f"relativistic, {found}"
    return found if not below or found in _SHIFTED else None


def _name(node: Any) -> str:
    return re.sub(r"Backward\d+$", "", node.name())


def _next(node: Any) -> list[Any]:
    return [following for following, _ in node.next_functions if following is not None]


def _scores_below(root: Any) -> dict[Any, set[Any]] | None:
    """The marked scores that each operation leads to, beyond which nobody looks; None where there are too many operations."""
    found: dict[Any, set[Any]] = {}
    waiting = [(root, False)]
    while waiting:
        node, done = waiting.pop()
        if done:
            found[node] = set[Any]().union(*(found[following] for following in _next(node)))
        elif node not in found:
            if len(found) > BUDGET:
                return None
            score = _MARK in node.metadata
            found[node] = {node} if score else set()
            if not score:
                waiting += [(node, True), *((following, False) for following in _next(node))]
    return found


def _compared(node: Any, reached: Mapping[Any, set[Any]]) -> list[Any]:
    """Operands that depend on scores."""
    return [following for following in _next(node) if reached[following]]


def _below(node: Any, reached: Mapping[Any, set[Any]]) -> set[Any]:
    """Operations between one and the scores."""
    found: set[Any] = set()
    waiting = [node]
    while waiting:
        fresh = [following for following in _next(waiting.pop()) if reached[following] and following not in found]
        fresh = [following for following in fresh if following not in reached[following]]
        found.update(fresh)
        waiting += fresh
    return found


def _carried(root: Any, score: Any) -> bool:
    """Whether a score reaches the loss without anything that makes a family, too."""
    found, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is score:
            return True
        if node not in found and _name(node) in _CARRYING:
            found.add(node)
            waiting += _next(node)
    return False
