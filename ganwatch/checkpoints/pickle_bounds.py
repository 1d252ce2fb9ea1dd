"""Bounds on a pickle that are checked by reading its instructions, none of which is carried out."""

from __future__ import annotations

import pickletools

MAX_BYTES = 2**24
"""Largest pickle of a checkpoint, without its tensors, in bytes."""
MAX_INSTRUCTIONS = 1_000_000
"""Most instructions. A tensor takes about 40."""
MODULES = frozenset({"collections", "torch", "torch._utils", "torch.storage"})
"""Modules of what a checkpoint may name. Others hold what allocates as much memory as a number says, such as ``bytearray``."""
MAX_STACK = 20_000
"""Most values that wait on the stack. A nested value waits there until the inner ones are complete; a flat list adds 1,000 at a time."""


class UnsafePickleError(ValueError):
    """A pickle names more than tensors and dictionaries."""


def check_pickle(content: bytes) -> None:
    """Refuse a pickle that would take long to load, or much memory.

    Raises
    ------
    ValueError
        The pickle is damaged, or exceeds a bound.

    Examples
    --------
    >>> import pickle
    >>> check_pickle(pickle.dumps({"weights": [1, 2, 3]}))
    >>> check_pickle(b"]" * 30_000)
    Traceback (most recent call last):
    ValueError: a checkpoint must keep at most 20,000 values on its stack, got more: it is nested too deeply
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"a checkpoint must hold at most {MAX_BYTES:,} bytes beside its tensors, got {len(content):,}")
    height, marks = 0, []
    for count, (instruction, argument, _) in enumerate(pickletools.genops(content)):
        if instruction.name == "STACK_GLOBAL" or (instruction.name == "GLOBAL" and str(argument).partition(" ")[0] not in MODULES):
            raise UnsafePickleError(f"a checkpoint must name nothing but tensors and dictionaries, got {argument or 'a name put together'}")
        before, after = instruction.stack_before, instruction.stack_after
        if instruction.name == "MARK":
            marks.append(height)
        elif pickletools.markobject in before:
            height = (marks.pop() if marks else 0) - before.index(pickletools.markobject) + len(after)
        else:
            height += len(after) - len(before)
        if height + len(marks) > MAX_STACK:
            raise ValueError(f"a checkpoint must keep at most {MAX_STACK:,} values on its stack, got more: it is nested too deeply")
        if count >= MAX_INSTRUCTIONS:
            raise ValueError(f"a checkpoint must have at most {MAX_INSTRUCTIONS:,} instructions, got more")
