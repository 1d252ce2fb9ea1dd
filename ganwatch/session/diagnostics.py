"""Status of a watch and problems of the set-up, as text for people."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ganwatch.capture.attribution.activity_clock import Activity
from ganwatch.core.names import name_failure
from ganwatch.core.outcome import TOO_EARLY
from ganwatch.core.signals import catalogue
from ganwatch.session.observer import Observer

log = logging.getLogger("ganwatch")

STEPS_BEFORE_ADVICE = 50
"""Optimizer steps after which a missing part is reported."""
STEPS_PER_OPTIMIZER = STEPS_BEFORE_ADVICE // 2
"""Steps of one optimizer among these, if two take turns."""
MIN_UNCALLED_STEPS = 2
"""Sampled steps in a row without a call of a trained network, from which on that is reported."""
GROUP_REQUIREMENTS = {
    "losses": "a scalar loss that is back-propagated",
    "gradients": "an optimizer that steps the network's parameters",
    "layers": "an optimizer that steps the network's parameters",
    "training": "an optimizer that steps the network's parameters",
    "discriminator": "calls of D on real and on fake batches of two samples or more",
    "diversity": "D to get real and fake batches of one shape and two samples or more",
    "quality": "D to get real and fake batches of one shape",
    "data": "D to get real and fake batches",
    "evaluation": "some time, known inputs of G and known real batches",
    "overfitting": "held-out reals: heldout=…",
    "latents": "a floating input of G with a batch dimension",
}
"""Requirements of a signal, by its group."""
UNSCHEDULED_GROUPS = {"evaluation"}
"""Groups whose first step is not known in advance."""


@dataclass(frozen=True, slots=True)
class CodeHints:
    """Code that a user of this front end writes to solve a problem."""

    network: Mapping[str, str]
    """Call that sets a network, by role."""
    both_networks: str
    """Call that sets both networks."""
    handle: str
    """Usual name of the object with the methods ``real`` and ``fake``."""


def status(observer: Observer, hints: CodeHints) -> str:
    """Describe networks, optimizers, loss, batches, signals and set-up problems, a line each."""
    observer.count_tap_failures()
    facts = observer.loop_facts
    lines = [f"step {observer.steps}"]
    if observer.clock is not Activity.GENERATOR_UPDATES:
        lines.append(f"steps follow {observer.clock}, because the generator is not updated")
    for role, network in observer.networks.items():
        size = sum(parameter.numel() for parameter in network.parameters())
        lines.append(f"{role.upper()}: {type(network).__name__}, {size:,} parameters, {facts.updates[role]} updates")
    for name, optimizer in observer.optimizers.items():
        lines.append(f"optimizer of {name}: {type(optimizer).__name__}, lr {optimizer.param_groups[0].get('lr')}")
    lines.append(f"loss family: {facts.loss_family()}")
    main = facts.updates - facts.auxiliary_updates
    if main["g"]:
        lines.append(f"D updates per G update: {main['d'] / main['g']:.3g}")
    own, of_g = (", ".join(f"{n} {batch}" for batch, n in sorted(seen.items())) for seen in (facts.d_phase_origins, facts.g_phase_origins))
    lines.append(f"D's batches at the last sampled step: {own or 'none'} in its own phase; {of_g or 'none'} in G's phase")
    lines += _signal_lines(observer)
    titles = {detector.code: detector.title for detector in observer.detectors}
    lines += [f"not evaluated: {name_failure(titles[code], code)}: {reason}" for code, reason in observer.not_applicable().items()]
    unjudged = observer.outcome().unjudged
    early = ", ".join(name_failure(one.title, one.code) for one in unjudged if one.reason == TOO_EARLY)
    lines += [f"too early to judge: {early}"] if early else []
    lines += [f"cannot judge: {one}" for one in unjudged if one.reason != TOO_EARLY]
    lines += [f"errors of ganwatch itself in {part}: {count}; the training goes on" for part, count in observer.guard.errors.items()]
    lines += [
        f"sink {sink.name}: {sink.failures} errors, lost: {sink.describe_losses() or 'nothing'}"
        for sink in observer.sinks
        if sink.failures or sink.dropped
    ]
    problems = {**observer.problems, **setup_problems(observer, hints)}
    return "\n".join([*lines, *problems.values()])


def _signal_lines(observer: Observer) -> list[str]:
    """List the live signals, the step by which others come, and the requirements of the rest."""
    live = Counter(series.partition("/")[0] for series in observer.latest)
    cadence = {name: probe.every for probe in observer.probes for name in probe.signals}
    missing: dict[str, list[str]] = {}
    for name, signal in catalogue().items():
        if name in live or name not in cadence or signal.group not in GROUP_REQUIREMENTS:
            continue
        is_early = observer.steps <= 2 * cadence[name] and signal.group not in UNSCHEDULED_GROUPS
        need = f"comes by step {2 * cadence[name] + 1}" if is_early else f"needs {GROUP_REQUIREMENTS[signal.group]}"
        missing.setdefault(need, []).append(name)
    lines = ["signals: " + (", ".join(live) or "none yet")]
    return lines + [f"missing {', '.join(names)}: {need}" for need, names in missing.items()]


def setup_problems(observer: Observer, hints: CodeHints) -> dict[str, str]:
    """Find clear mistakes in the wiring: by name, what is wrong and the code that solves it."""
    facts = observer.loop_facts
    problems: dict[str, str] = {}
    if facts.is_swapped:  # every other finding is then wrong
        line = f"G and D look swapped: the network given as D feeds the one given as G. Exchange them in {hints.both_networks}."
        return {"swapped": line}
    for role in observer.networks:
        problems |= _network_problems(role, observer, hints)
    if facts.steps >= STEPS_BEFORE_ADVICE and 2 * facts.joint_steps >= facts.updates["g"] > 0:
        problems["one optimizer"] = (
            "One optimizer steps parameters of G and of D, so their phases cannot be told apart. Give each network its own: "
            "Adam(G.parameters()) and Adam(D.parameters())."
        )
    if facts.d_reconstructs:
        problems["auto-encoder"] = (
            "D returns a reconstruction of its input (an auto-encoder), not a score. Wrap it in a module that returns the score: "
            f"{hints.network['d']} with a module whose forward returns (D(x) - x).abs().flatten(1).mean(1)."
        )
    if facts.steps >= STEPS_BEFORE_ADVICE and (facts.d_phase_origins or facts.g_phase_origins):
        if not facts.d_phase_origins["real"]:
            problems["real"] = f"No batch that D gets is known to be real. Call {hints.handle}.real(batch) before D gets it."
        if not facts.has_known_fakes and facts.calls["g"]:
            problems["fake"] = f"No batch that D gets is known to be fake. Call {hints.handle}.fake(batch) before D gets it."
    return problems


def _network_problems(role: str, observer: Observer, hints: CodeHints) -> dict[str, str]:
    """Find out if the given network of a role is not the one that is trained and called."""
    facts = observer.loop_facts
    name, code, is_due = role.upper(), hints.network[role], facts.steps >= STEPS_BEFORE_ADVICE
    if facts.lookalike_steps[role] >= STEPS_PER_OPTIMIZER:
        return {
            f"double {role}": f"Another network, shaped like {name}, is trained while {name} is not: {name} is a copy (an EMA, a "
            f"deepcopy) or was replaced. Write {code} with the trained network, once it exists."
        }
    if facts.steps_without_gradient[role] >= STEPS_PER_OPTIMIZER:
        return {f"idle {role}": _describe_idle(role, observer, code)}
    if is_due and facts.skipped_updates[role] and not facts.updates[role]:
        return {
            f"skipped {role}": f"Every update of {name} was skipped, {facts.skipped_updates[role]} so far, because its gradients are not "
            "finite under mixed precision. Train it in full precision, or look for the operation that overflows."
        }
    if is_due and not facts.updates[role]:
        return {
            f"never {role}": f"{name} was never updated in {facts.steps} optimizer steps: no optimizer that steps has its "
            f"parameters. Write {code} with the network that the optimizer trains."
        }
    if is_due and facts.samples_without_call[role] >= MIN_UNCALLED_STEPS:
        or_fake = "" if role == "d" or facts.has_known_fakes else f", or call {hints.handle}.fake(batch) before D gets a batch of G"
        return {
            f"uncalled {role}": f"{name} is trained, but ganwatch sees no call of it: the loop calls a wrapper, a copy or parts of it. "
            f"Write {code} with the module that is called{or_fake}."
        }
    return {}


def _describe_idle(role: str, observer: Observer, code: str) -> str:
    """Describe why the optimizer of a network finds no gradient, and what to do."""
    name, facts = role.upper(), observer.loop_facts
    what = f"The optimizer of {name} steps, but {name} gets no gradient: "
    if not any(parameter.requires_grad for parameter in observer.networks[role].parameters()):
        return f"{what}it is frozen, none of its parameters requires one. Call {name}.requires_grad_(True) before its phase."
    if role == "g" and facts.has_known_fakes:
        return f"{what}D gets its samples without their graph. Do not detach them in G's phase, nor call G under no_grad there."
    return f"{what}the loop calls another network. Write {code} with the network that is called, and give its parameters to the optimizer."


class SetupReporter:
    """Logs each set-up problem once, and keeps them in the outcome of the run; checks after every 50th optimizer step.

    Parameters
    ----------
    observer : Observer
    hints : CodeHints
    """

    def __init__(self, observer: Observer, hints: CodeHints) -> None:
        self.observer, self.hints = observer, hints
        self._reported: set[str] = set()
        observer.call_every(STEPS_BEFORE_ADVICE, self._warn)

    def _warn(self) -> None:
        if self.observer.ranks.rank:
            return
        problems = setup_problems(self.observer, self.hints)
        self.observer.set_setup_problems(problems)
        for name, line in problems.items():
            if name not in self._reported:
                self._reported.add(name)
                log.warning("%s", line)
