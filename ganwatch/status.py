"""What was recognised in a loop, and what is missing: for people."""

from __future__ import annotations

from collections import Counter

from ganwatch.observer import Observer
from ganwatch.signals import catalogue

ENOUGH = 50
"""Optimizer steps after which what is missing counts as missing."""
NEEDS = {
    "losses": "a scalar loss that is back-propagated",
    "gradients": "an optimizer that steps the network's parameters",
    "layers": "an optimizer that steps the network's parameters",
    "discriminator": "calls of D on real and on fake batches",
    "diversity": "real and fake batches of one shape, shown to D",
    "quality": "real and fake batches of one shape, shown to D",
    "data": "real and fake batches, shown to D",
    "latents": "a floating input of G with a batch dimension",
}
"""What a group of signals needs."""


def status(observer: Observer) -> str:
    """Networks, optimizers, batches, signals, and advice, as lines of text."""
    recorder = observer.recorder
    lines = [f"step {recorder.index}"]
    for role, network in recorder.networks.items():
        size = sum(parameter.numel() for parameter in network.parameters())
        lines.append(f"{role.upper()}: {type(network).__name__}, {size:,} parameters, {recorder.findings.updates[role]} updates")
    for name, optimizer in recorder.ownership.optimizers().items():
        lines.append(f"optimizer of {name}: {type(optimizer).__name__}, lr {optimizer.param_groups[0].get('lr')}")
    if recorder.findings.updates["g"]:
        lines.append(f"updates of D for one of G: {recorder.findings.updates['d'] / recorder.findings.updates['g']:.3g}")
    seen = recorder.findings.seen
    lines.append("batches D was shown at the last look: " + (", ".join(f"{n} {batch}" for batch, n in sorted(seen.items())) or "none"))
    live = Counter(series.partition("/")[0] for series in observer.monitor.latest)
    lines.append("signals: " + (", ".join(live) or "none yet"))
    missing: dict[str, list[str]] = {}
    for name, signal in catalogue().items():
        if name not in live and signal.group in NEEDS:
            missing.setdefault(NEEDS[signal.group], []).append(name)
    lines += [f"missing {', '.join(names)}: needs {need}" for need, names in missing.items()]
    lines += [f"{code} cannot judge: {reason}" for code, reason in observer.monitor.not_applicable().items()]
    return "\n".join(lines + advice(observer))


def advice(observer: Observer) -> list[str]:
    """What is plainly wrong with the wiring, each with the line of code that resolves it."""
    recorder = observer.recorder
    updates = recorder.findings.updates
    found = []
    if recorder.findings.swapped:
        found.append("G and D look swapped: what was given as D feeds what was given as G. Say watch(G=…, D=…) the other way round.")
    for role, other in (("g", "d"), ("d", "g")):
        if not updates[role] and updates[other] >= ENOUGH:
            found.append(
                f"{role.upper()} was never updated in {updates[other]} updates of {other.upper()}: no optimizer that steps has its "
                f"parameters. Say watch({role.upper()}=…) with the network that the optimizer has."
            )
    shared = [name for name in recorder.ownership.optimizers() if "+" in name]
    if shared:
        found.append("One optimizer steps parameters of G and of D, so their phases cannot be told apart. Give each its own.")
    if recorder.findings.reconstructs:
        found.append("D returns what it is shown (an auto-encoder), which is no score. Wrap it in a module that returns the score.")
    if recorder.findings.seen and not recorder.findings.seen["real"] and sum(updates.values()) >= ENOUGH:
        found.append("No batch that D sees is known to be real. Say watching.real(batch) before D sees it.")
    return found
