from collections.abc import Iterator

import pytest
import torch
from torch import nn

from ganwatch.session import auto as by_name


@pytest.fixture(autouse=True)
def nothing_left_of_others(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``auto`` looks among everything that lives: not among what earlier tests have left."""
    if request.path.stem not in {"test_auto", "test_third_party"}:
        yield
        return
    every = by_name._living_instances
    earlier = [thing for kind in (torch.optim.Optimizer, nn.Module) for thing in every(kind)]  # kept, so that no identity is used again
    known = set(map(id, earlier))
    monkeypatch.setattr(by_name, "_living_instances", lambda kind: [thing for thing in every(kind) if id(thing) not in known])
    yield
    earlier.clear()
