"""Identity of a data set: a short description that changes only if the data do."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import numpy as np

from ganwatch.core.errors import UserError
from ganwatch.data.opening import open_source
from ganwatch.data.source import NotIndexableError
from ganwatch.isolation.generators import find_all_generators
from ganwatch.isolation.random_state import preserved_random_state


def dataset_identity(data: Any, *, sample: int = 256, seed: int = 0) -> dict[str, Any]:
    """Describe data for the provenance of a run, from an evenly spaced sample of items.

    Parameters
    ----------
    data : as for ``audit``
        It is read by index; every random state is restored afterwards.
    sample : int, >= 1
        Items to hash, evenly spaced from the first to the last.
    seed : int, >= 0
        Seed while items are read, so that random augmentation does not change the hash.

    Returns
    -------
    dict
        Plain types: ``name``, ``size``, ``sample`` (items hashed), ``sha256`` over index, dtype, shape, bytes and label of each,
        ``shape`` and ``dtype`` of the first, ``unreadable`` (count in the sample) and ``label_shares`` (label to share, None without
        labels; over all labels where they are known without reading items, else over the sample). For data that can only be iterated:
        ``name`` and ``reason``.

    Raises
    ------
    UserError
        As ``audit``.

    Examples
    --------
    >>> import numpy as np
    >>> identity = dataset_identity((np.zeros((4, 2), np.float32), np.array([0, 0, 1, 0])))
    >>> identity["size"], identity["shape"], identity["label_shares"]
    (4, [2], {'0': 0.75, '1': 0.25})
    """
    if sample < 1:
        raise UserError(f"sample must be >= 1 (items), got {sample}")
    try:
        source = open_source(data)
    except NotIndexableError as reason:
        return {"name": type(data).__name__, "reason": str(reason)}
    chosen = np.unique(np.linspace(0, source.size - 1, min(sample, source.size)).round().astype(int)).tolist()
    value = hashlib.sha256()
    first: tuple[list[int], str] | None = None
    labels: list[int | str] = []
    unreadable = 0
    with preserved_random_state(*find_all_generators(), seed=seed):
        for index in chosen:
            try:
                item = source.read(index)
            except Exception:  # noqa: BLE001  # any error of a data set makes its item unreadable
                value.update(f"{index} unreadable".encode())
                unreadable += 1
                continue
            value.update(f"{index} {item.array.dtype.str} {item.array.shape} {item.label!r} ".encode())
            value.update(np.ascontiguousarray(item.array).tobytes())
            first = first or (list(item.array.shape), str(item.array.dtype))
            labels += [] if item.label is None else [item.label]
    counts = Counter(source.labels if source.labels is not None else labels)
    total = sum(counts.values())
    return {
        "name": source.name,
        "size": source.size,
        "sample": len(chosen),
        "sha256": value.hexdigest(),
        "shape": first[0] if first else None,
        "dtype": first[1] if first else None,
        "unreadable": unreadable,
        "label_shares": {str(label): counts[label] / total for label in sorted(counts, key=str)} if counts else None,
    }
