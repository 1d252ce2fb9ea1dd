"""What was recognised in a training, and what is missing: for people."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ganwatch.capture.findings import Findings
from ganwatch.core.signals import catalogue
from ganwatch.session.observer import Observer

log = logging.getLogger("ganwatch")

ENOUGH = 50
"""Optimizer steps after which what is missing counts as missing."""
ROUNDS = ENOUGH // 2
"""Steps of one optimizer that go by in as many, where two take turns."""
UNCALLED = 2
"""Looks in a row without a call of a network that is trained."""
NEEDS = {
    "losses": "a scalar loss that is back-propagated",
    "gradients": "an optimizer that steps the network's parameters",
    "layers": "an optimizer that steps the network's parameters",
    "training": "an optimizer that steps the network's parameters",
    "discriminator": "calls of D on real and on fake batches",
    "diversity": "real and fake batches of one shape, shown to D",
    "quality": "real and fake batches of one shape, shown to D",
    "data": "real and fake batches, shown to D",
    "evaluation": "some time, and inputs of G and real batches that are known",
    "overfitting": "held-out reals: heldout=…",
    "latents": "a floating input of G with a batch dimension",
}
"""What a group of signals needs."""
SELDOM = {"evaluation"}
"""Groups for which no step can be said."""


@dataclass(frozen=True, slots=True)
class Wording:
    """How a front end's user says what resolves a finding."""

    give: Mapping[str, str]
    """A network, by role."""
    both: str
    handle: str
    """What has ``real`` and ``fake``."""


def status(observer: Observer, wording: Wording) -> str:
    """Networks, optimizers, loss, batches, signals, and advice, as lines of text."""
    recorder, findings = observer.recorder, observer.recorder.findings
    lines = [f"step {recorder.index}"]
    for role, network in recorder.networks.items():
        size = sum(parameter.numel() for parameter in network.parameters())
        lines.append(f"{role.upper()}: {type(network).__name__}, {size:,} parameters, {findings.updates[role]} updates")
    for name, optimizer in recorder.ownership.optimizers().items():
        lines.append(f"optimizer of {name}: {type(optimizer).__name__}, lr {optimizer.param_groups[0].get('lr')}")
    lines.append(f"loss family: {findings.loss()}")
    main = findings.updates - findings.auxiliary
    if main["g"]:
        lines.append(f"updates of D for one of G: {main['d'] / main['g']:.3g}")
    own, of_g = (", ".join(f"{n} {batch}" for batch, n in sorted(seen.items())) for seen in (findings.seen, findings.seen_by_g))
    lines.append(f"batches D was shown at the last look: {own or 'none'}; with a gradient to the batch (G's phase): {of_g or 'none'}")
    lines += _signals(observer)
    lines += [f"{code} cannot judge: {reason}" for code, reason in observer.monitor.not_applicable().items()]
    lines += [f"errors inside ganwatch, in {part}: {count}" for part, count in observer.monitor.errors.items()]
    lines += [
        f"sink {sink.name}: {sink.failures} errors, {sink.dropped:,} readings or images given up"
        for sink in observer.monitor.sinks
        if sink.failures or sink.dropped
    ]
    return "\n".join([*lines, *advice(observer, wording).values()])


def _signals(observer: Observer) -> list[str]:
    """Which are live, which come later, and what the others need."""
    live = Counter(series.partition("/")[0] for series in observer.monitor.latest)
    cadence = {name: probe.every for probe in observer.recorder.probes for name in probe.signals}
    missing: dict[str, list[str]] = {}
    for name, signal in catalogue().items():
        if name in live or name not in cadence or signal.group not in NEEDS:
            continue
        young = observer.recorder.index <= 2 * cadence[name] and signal.group not in SELDOM
        need = f"comes by step {2 * cadence[name] + 1}" if young else f"needs {NEEDS[signal.group]}"
        missing.setdefault(need, []).append(name)
    lines = ["signals: " + (", ".join(live) or "none yet")]
    return lines + [f"missing {', '.join(names)}: {need}" for need, names in missing.items()]


def advice(observer: Observer, wording: Wording) -> dict[str, str]:
    """What is plainly wrong with the wiring, each with the line of code that resolves it, by a name of its own."""
    recorder, findings = observer.recorder, observer.recorder.findings
    found: dict[str, str] = {}
    if findings.swapped:  # nothing else that is found then is the case
        return {"swapped": f"G and D look swapped: what was given as D feeds what was given as G. Say {wording.both} the other way round."}
    for role in recorder.networks:
        found |= _of_network(role, findings, wording)
    if findings.steps >= ENOUGH and 2 * findings.together >= findings.updates["g"] > 0:
        found["one optimizer"] = (
            "One optimizer steps parameters of G and of D, so their phases cannot be told apart. Give each its own: "
            "Adam(G.parameters()) and Adam(D.parameters())."
        )
    if findings.reconstructs:
        found["auto-encoder"] = (
            "D returns what it is shown (an auto-encoder), which is no score. Wrap it in a module that returns the score: "
            f"{wording.give['d']} with one whose forward gives (D(x) - x).abs().flatten(1).mean(1)."
        )
    if findings.steps >= ENOUGH and (findings.seen or findings.seen_by_g):
        if not findings.seen["real"]:
            found["real"] = f"No batch that D sees is known to be real. Say {wording.handle}.real(batch) before D sees it."
        if not findings.fakes_known and findings.called["g"]:
            found["fake"] = f"No batch that D sees is known to be fake. Say {wording.handle}.fake(batch) before D sees it."
    return found


def _of_network(role: str, findings: Findings, wording: Wording) -> dict[str, str]:
    """Whether what was given is what is trained and called."""
    name, give, enough = role.upper(), wording.give[role], findings.steps >= ENOUGH
    if findings.doubles[role] >= ROUNDS:
        return {
            f"double {role}": f"Another network, shaped like {name}, is trained while {name} is not: {name} is a copy (an EMA, a "
            f"deepcopy), or was replaced. Say {give} with the network that is trained, once it is there."
        }
    if findings.idle[role] >= ROUNDS:
        return {
            f"idle {role}": f"The optimizer of {name} steps, but {name} gets no gradient: the loop calls another network. Say {give} "
            f"with the network that is called, and give the optimizer its parameters."
        }
    if enough and not findings.updates[role]:
        return {
            f"never {role}": f"{name} was never updated in {findings.steps} steps of optimizers: none that steps has its parameters. "
            f"Say {give} with the network that the optimizer has."
        }
    if enough and findings.uncalled[role] >= UNCALLED:
        or_fake = "" if role == "d" or findings.fakes_known else f", or {wording.handle}.fake(batch) before D sees what G made"
        return {
            f"uncalled {role}": f"{name} is trained, but no call of it is seen: the loop calls a wrapper, a copy or parts of it. Say "
            f"{give} with the module that is called{or_fake}."
        }
    return {}


class Adviser:
    """Says in the log what is plainly wrong, each thing once: looks after every 50th optimizer step.

    Parameters
    ----------
    observer : Observer
    wording : Wording
    """

    def __init__(self, observer: Observer, wording: Wording) -> None:
        self.observer, self.wording = observer, wording
        self._said: set[str] = set()
        observer.recorder.reviews = (ENOUGH, self._say)

    def _say(self) -> None:
        if self.observer.ranks.rank:
            return
        for name, line in advice(self.observer, self.wording).items():
            if name not in self._said:
                self._said.add(name)
                log.warning("%s", line)
