"""Finds the family of a loss by the operations between a score and the loss that is back-propagated.

The gradients (``loss_family.py``) give the family with targets and polarity. They need several outputs, each with a loss term of its own
and the same label. With random labels, half precision, one or two outputs or a relativistic loss, only the operations are evidence. Every
path from the loss to the score must lead through the same operation that makes the family. An unusual operation on a path gives no result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor

MAX_OPERATIONS = 1000
"""Most operations that are searched."""
_METADATA_KEY = "ganwatch"
_ADDITIVE = {"Sub", "Rsub", "Add"}
_LINEAR = _ADDITIVE.union(
    ("Alias", "AsStrided", "Cat", "Clone", "Div", "Expand", "Index", "IndexSelect", "Mean", "Mul", "Neg", "Permute", "ReshapeAlias"),
    ("Select", "Slice", "Split", "SplitWithSizes", "Squeeze", "Stack", "Sum", "T", "ToCopy", "Transpose", "Unbind", "UnsafeView"),
    ("Unsqueeze", "View", "torch::autograd::CopyBackwards"),
)
"""Operations that leave a loss linear in the score."""
_LOGITS, _PROBABILITIES = "binary cross-entropy on logits (softplus)", "binary cross-entropy on probabilities (D ends in a sigmoid)"
_FAMILIES: Mapping[frozenset[str], str] = {
    **dict.fromkeys(map(frozenset, (["BinaryCrossEntropyWithLogits"], ["Softplus"], ["LogSigmoid"])), _LOGITS),
    **dict.fromkeys(map(frozenset, (["Sigmoid", "BinaryCrossEntropy"], ["Sigmoid", "Log"])), _LOGITS),
    **dict.fromkeys(map(frozenset, (["BinaryCrossEntropy"], ["Log"])), _PROBABILITIES),
    **dict.fromkeys(map(frozenset, (["MseLoss"], ["Pow"])), "least squares"),
    **dict.fromkeys(map(frozenset, (["Relu"], ["Clamp"], ["ClampMin"], ["Minimum"], ["Maximum"])), "hinge"),
    frozenset(): "Wasserstein",
}
_FAMILIES_WITH_OFFSET = {"least squares", "hinge", _PROBABILITIES}
"""Families in which a constant is added to the score or subtracted from it."""


def mark_score(score: Tensor) -> object:
    """Mark a score's node in the autograd graph and return the mark, for ``find_family``; the mark is freed with the graph."""
    mark, node = object(), cast("Any", score.grad_fn)
    if node is not None:
        node.metadata[_METADATA_KEY] = mark
    return mark


def find_family(mark: object, loss: Tensor) -> str | None:
    """Return the family of a loss by the operations between a marked score and it; None if that is not certain.

    Examples
    --------
    >>> import torch
    >>> from torch.nn import functional as F
    >>> real, fake = (torch.zeros(1, requires_grad=True) * 1.0 for _ in range(2))
    >>> r, f = mark_score(real), mark_score(fake)
    >>> find_family(r, F.relu(1 - real).mean() + F.relu(1 + fake).mean()), find_family(f, fake.mean() - real.mean())
    ('hinge', 'Wasserstein')
    >>> find_family(r, F.softplus(fake.mean() - real).mean())
    'relativistic, binary cross-entropy on logits (softplus)'
    >>> find_family(r, real.mean() + 1e-3 * real.square().mean()), find_family(r, real.exp().mean())
    (None, None)
    """
    scores_below = {} if loss.grad_fn is None else _find_scores_below(loss.grad_fn) or {}
    score = next((node for node in scores_below if node.metadata.get(_METADATA_KEY) is mark), None)
    return None if score is None else _find_family_between(score, loss.grad_fn, scores_below)


def _find_family_between(score: Any, root: Any, scores_below: Mapping[Any, set[Any]]) -> str | None:
    path = [node for node, scores in scores_below.items() if score in scores and node is not score]
    nonlinear = [node for node in path if _name(node) not in _LINEAR]
    family = None if _multiplies_scores(path, scores_below) else _name_family(nonlinear)
    if family is None or (nonlinear and _has_linear_path(root, score)):
        return None
    return _add_relation(family, [node for top in nonlinear for node in _operations_below(top, scores_below)], score, scores_below)


def _name_family(nonlinear: Sequence[Any]) -> str | None:
    """Return the family that the nonlinear operations make; only the second power is known."""
    has_other_power = any(_name(node) == "Pow" and getattr(node, "_saved_exponent", None) != 2 for node in nonlinear)
    return None if has_other_power else _FAMILIES.get(frozenset(map(_name, nonlinear)))


def _multiplies_scores(path: Sequence[Any], scores_below: Mapping[Any, set[Any]]) -> bool:
    return any(_name(node) in {"Mul", "Div"} and len(_score_operands(node, scores_below)) > 1 for node in path)


def _add_relation(family: str, below: Sequence[Any], score: Any, scores_below: Mapping[Any, set[Any]]) -> str | None:
    """Return the family as relativistic if scores are subtracted from each other below its nonlinear operation; None if that is unclear."""
    additive = [node for node in below if _name(node) in _ADDITIVE and score in scores_below[node]]
    of_scores = [node for node in additive if len(_score_operands(node, scores_below)) > 1]
    if of_scores:
        return None if any(_name(node) == "Add" for node in of_scores) else f"relativistic, {family}"
    return family if not additive or family in _FAMILIES_WITH_OFFSET else None


def _name(node: Any) -> str:
    return re.sub(r"Backward\d+$", "", node.name())


def _operands(node: Any) -> list[Any]:
    return [operand for operand, _ in node.next_functions if operand is not None]


def _find_scores_below(root: Any) -> dict[Any, set[Any]] | None:
    """Map each operation to the marked scores below it, without looking below these; None if there are too many operations."""
    scores_below: dict[Any, set[Any]] = {}
    stack = [(root, False)]
    while stack:
        node, is_expanded = stack.pop()
        if is_expanded:
            scores_below[node] = set[Any]().union(*(scores_below[operand] for operand in _operands(node)))
        elif node not in scores_below:
            if len(scores_below) > MAX_OPERATIONS:
                return None
            is_score = _METADATA_KEY in node.metadata
            scores_below[node] = {node} if is_score else set()
            if not is_score:
                stack += [(node, True), *((operand, False) for operand in _operands(node))]
    return scores_below


def _score_operands(node: Any, scores_below: Mapping[Any, set[Any]]) -> list[Any]:
    """Operands that depend on scores."""
    return [operand for operand in _operands(node) if scores_below[operand]]


def _operations_below(node: Any, scores_below: Mapping[Any, set[Any]]) -> set[Any]:
    """Operations between a node and the scores."""
    operations: set[Any] = set()
    stack = [node]
    while stack:
        fresh = [operand for operand in _operands(stack.pop()) if scores_below[operand] and operand not in operations]
        fresh = [operand for operand in fresh if operand not in scores_below[operand]]
        operations.update(fresh)
        stack += fresh
    return operations


def _has_linear_path(root: Any, score: Any) -> bool:
    """Return True if some path from the loss to the score has linear operations alone."""
    visited, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node is score:
            return True
        if node not in visited and _name(node) in _LINEAR:
            visited.add(node)
            stack += _operands(node)
    return False
