"""Networks of a LightningModule: the generator, the discriminator and an averaged copy, by given or usual names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn
from torch.optim.swa_utils import AveragedModel

from ganwatch.core.errors import UserError
from ganwatch.session.arguments import check_network

if TYPE_CHECKING:
    import lightning

GENERATOR_NAMES = ("generator", "netG", "net_g", "G", "gen", "g", "gen_model", "model_G")
"""Usual names of generators, in the order of the search."""
DISCRIMINATOR_NAMES = ("discriminator", "netD", "net_d", "D", "disc", "d", "critic", "model_D")
"""Usual names of discriminators, in the order of the search."""


def find_network(
    module: lightning.LightningModule, argument: str, name: str | None, usual_names: Sequence[str], *, callback: str = "GanWatch"
) -> tuple[str, nn.Module]:
    """Find a network in a module by its name, or by the first usual name without one.

    Returns
    -------
    str, nn.Module
        Name and network.

    Raises
    ------
    UserError
        There is no such network. The message names the argument of ``callback`` to set.
    """
    children: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    if name is None:
        name = next((candidate for candidate in usual_names if candidate in children), None)
    network = children.get(name) if name else None
    if name is None or network is None:
        have = ", ".join(child for child, _ in module.named_children()) or "none"
        got = f"got {name!r}" if name else f"and none of the usual names ({', '.join(usual_names)}) is there"
        rule = f"{argument} must name a network of {type(module).__name__}"
        raise UserError(f'{rule}, {got}; it has: {have}. Write {callback}({argument}="…")')
    check_network(argument, network, f"{name!r} ({type(network).__name__})")
    return name, network


def find_average(module: lightning.LightningModule, name: str | None, generator: nn.Module) -> nn.Module | None:
    """Find the averaged copy of the generator: the named one, or one shaped like it whose class or name says that it is an average."""
    if name is not None:
        return find_network(module, "ema", name, ())[1]
    shapes = [parameter.shape for parameter in generator.parameters()]
    children: dict[str, nn.Module] = dict(module.named_modules())
    for path, child in children.items():
        own_name = path.lower().split(".")[-1]
        is_average = isinstance(child, AveragedModel) or "ema" in own_name or "average" in own_name
        if is_average and child is not generator and [parameter.shape for parameter in child.parameters()] == shapes:
            return child
    return None


def output_range(generator: nn.Module) -> tuple[float, float] | None:
    """Range of the generator's last layer, None without a bound; layers that only change the shape are skipped."""
    shapes = (nn.Flatten, nn.Unflatten, nn.Identity)
    last = [module for module in generator.modules() if not list(module.children()) and not isinstance(module, shapes)][-1:]
    if not last:
        return None
    return {nn.Tanh: (-1.0, 1.0), nn.Sigmoid: (0.0, 1.0)}.get(type(last[0]))
