"""Catalogue of signals: one entry per family of scalar series.

The help of gauges, the labels of dashboards and the runbooks are read from it. A series is named ``family`` or ``family/label``, for
example ``loss/g``. The entry says what the label names (network, layer, batch).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Reduction = Literal["mean", "rms", "sum", "min", "max"]


@dataclass(frozen=True, slots=True)
class Signal:
    """One family of scalar series.

    Parameters
    ----------
    name : str
        Family name, snake case.
    help : str
        One sentence that is displayed with the signal.
    unit : str
        ``ratio``, ``seconds``, ``bytes``, ``nats``, ``norm``, ``value`` or ``count``.
    label : str
        Meaning of the part after the slash (``network``, ``layer``, ``batch``, ``label``, ``group``, ``name``); empty if there is none.
    low, high : float
        Range of finite values.
    exported : bool
        True if Prometheus gets it. Series by layer stay in the store.
    group : str
        Heading under which dashboards display it.
    reduce : {"mean", "rms", "sum", "min", "max"}
        Reduction of the values of several ranks to one; ``rms`` is the root of the mean square. With equal batches a loss, a gradient
        norm, a share, an extreme, a count and an output gradient are those of one process on the total batch. A rank statistic
        (``d_auc``), a diversity or a spread is the average over the ranks' own batches.
    """

    name: str
    help: str
    unit: str = "value"
    label: str = ""
    low: float = float("-inf")
    high: float = float("inf")
    exported: bool = True
    group: str = "other"
    reduce: Reduction = "mean"

    @property
    def exported_name(self) -> str:
        """Name of the exported series. Its suffix is the unit if Prometheus' conventions name one."""
        suffix = f"_{self.unit}" if self.unit in {"seconds", "bytes", "ratio"} and not self.name.endswith(self.unit) else ""
        name = re.sub(r"^d_", "discriminator_", self.name)  # Prometheus' linter reads a lone d as days
        return f"ganwatch_{name}{suffix}"


_CATALOGUE: dict[str, Signal] = {}


def register(*signals: Signal) -> None:
    """Add families to the catalogue.

    Raises
    ------
    ValueError
        A family of that name exists with another definition.
    """
    for signal in signals:
        if _CATALOGUE.setdefault(signal.name, signal) != signal:
            raise ValueError(f"signal name must be unique, got a second definition of {signal.name!r}")


def catalogue() -> dict[str, Signal]:
    """Return every family by name, in the order of registration."""
    return dict(_CATALOGUE)


def find_signal(series: str) -> Signal | None:
    """Return the entry of a series, or None if the catalogue has none.

    >>> find_signal("loss/g").label
    'network'
    """
    return _CATALOGUE.get(series.partition("/")[0])


def _positive(name: str, help: str, **facts: object) -> Signal:
    return Signal(name, help, low=0.0, **facts)  # type: ignore[arg-type]  # keyword facts of Signal, checked by its own signature


register(
    Signal("loss", "Loss that was back-propagated before the network's own update.", label="network", group="losses"),
    _positive("grad_norm", "L2 norm of the network's gradient at its own update, before it is clipped.", unit="norm", label="network",
              group="gradients"),
    _positive("clipped_grad_norm", "L2 norm of the gradient that the update applies, where the loop clips it.", unit="norm",
              label="network", group="clipping"),
    _positive("zero_gradient", "Share of the network's parameters whose gradient is missing or exactly zero at its own update.",
              unit="ratio", high=1.0, label="network", group="gradients"),
    _positive("layer_grad_norm", "L2 norm of one layer's gradient.", unit="norm", label="layer", group="layers", exported=False),
    _positive("grad_first_to_last", "Gradient of the first layer against the last, per root of the parameter count.", unit="ratio",
              label="network", group="gradients"),
    _positive("grad_to_output", "Gradient norm against the norm of the loss's gradient at the discriminator's output.", unit="ratio",
              label="network", group="gradients"),
    _positive("output_gradient", "Root mean square gradient of the loss at the discriminator's output, per sample.", label="network",
              group="gradients", reduce="rms"),
    _positive("update_to_weight", "Norm of one update against the norm of the weights.", unit="ratio", label="network", group="gradients"),
    _positive("weight_norm", "L2 norm of the network's trained weights.", unit="norm", label="network", group="gradients"),
    _positive("learning_rate", "Learning rate of the network's first parameter group.", label="network", group="training"),
    _positive("checkpoint_verified", "Result of the latest save of a checkpoint: 1 if it was written and read back, 0 if it could not be.",
              unit="ratio", high=1.0, group="checkpoints"),
    _positive("reals_given", "Given reals: 1 if D is trained on batches that may be real, 0 if all are known fakes.", unit="ratio",
              high=1.0, group="training", exported=False, reduce="max"),
    _positive("batch_size", "Samples in the batch.", unit="count", label="batch", group="training", reduce="sum"),
    _positive("updates_attempted", "Steps of the network's optimizers since the previous step, performed or not.", unit="count",
              label="network", group="activity"),
    _positive("updates_performed", "Updates of the network since the previous step.", unit="count", label="network", group="activity"),
    _positive("updates_skipped", "Updates since the previous step that a scaler skipped because gradients were not finite.", unit="count",
              label="network", group="activity"),
    _positive("calls", "Calls of the network since the previous step.", unit="count", label="network", group="activity"),
    _positive("tensors", "Parameter tensors of the network.", unit="count", label="network", group="activity", exported=False),
    _positive("tensors_trainable", "Parameter tensors of the network that require a gradient.", unit="count", label="network",
              group="activity", exported=False),
    _positive("tensors_held", "Parameter tensors of the network that some optimizer holds which has stepped.", unit="count",
              label="network", group="activity", exported=False),
    _positive("tensors_with_gradient", "Parameter tensors of the network that have a gradient, be it zero.", unit="count",
              label="network", group="activity", exported=False),
    Signal("d_output", "Mean output of the discriminator.", label="batch", group="discriminator"),
    _positive("d_output_spread", "Standard deviation of the discriminator's outputs over a batch, in runs that other tools recorded.",
              label="batch", group="discriminator", exported=False),
    Signal("d_auc", "Probability that the discriminator ranks a real and a fake sample as its loss asks.", unit="ratio", low=0.0, high=1.0,
           group="discriminator"),
    Signal("d_margin", "Difference of the mean outputs on real and fake, in pooled standard deviations.", group="discriminator"),
    Signal("d_saturation", "Share of outputs at which the loss has no gradient left.", unit="ratio", low=0.0, high=1.0, label="batch",
           group="discriminator"),
    Signal("score_pull", "Direction in which a loss pushes the discriminator's scores, 1 if it raises all of them and -1 if it lowers all: "
           "its own loss those of reals and fakes (d_real, d_fake), the generator's those of fakes (g_fake).", unit="ratio", low=-1.0,
           high=1.0, label="batch", group="discriminator"),
    Signal("score_order", "Share of pairs in which the discriminator scores the fake sample higher, less that in which it scores it lower; "
           "batches of unknown origin beside known fakes count as real.", unit="ratio", low=-1.0, high=1.0, group="discriminator"),
    Signal("d_heldout_auc", "Probability that the discriminator ranks a training real above a held-out one.", unit="ratio", low=0.0,
           high=1.0, group="overfitting"),
    _positive("d_heldout_error", "Standard error of this probability without overfitting.", unit="ratio", group="overfitting",
              exported=False),
    Signal("d_heldout_gap", "Part of the way from training reals to fakes by which the mean output on held-out reals has moved.",
           unit="ratio", group="overfitting"),
    _positive("memorisation",
              "Share of generated samples whose nearest real sample is a training one rather than a held-out one, of as many of each; "
              "0.5 without memorisation.",
              unit="ratio", high=1.0, group="overfitting"),
    _positive("memorisation_error", "Standard error of the memorisation share.", unit="ratio", group="overfitting", exported=False),
    _positive("copy_share", "Share of generated samples that are near copies of a training sample; one in a hundred is so by chance.",
              unit="ratio", high=1.0, group="overfitting"),
    _positive("heldout_far", "Share of held-out reals that are far from every training real; about one in twenty of one source.",
              unit="ratio", high=1.0, group="overfitting"),
    _positive("heldout_far_error", "Standard error of the share of far held-out reals.", unit="ratio", group="overfitting",
              exported=False),
    _positive("heldout_lacking", "Share of held-out reals in cells of the data most of whose held-out reals are far.", unit="ratio",
              high=1.0, group="overfitting"),
    _positive("pairwise_ratio", "Mean pairwise distance of fakes against that of reals, same sample size.", unit="ratio",
              group="diversity"),
    _positive("real_distance", "Mean pairwise distance of the reals that fakes are compared with.", group="diversity", exported=False),
    _positive("vendi_ratio", "Vendi score of fakes against that of reals, same sample size.", unit="ratio", group="diversity"),
    Signal("energy_distance", "Normalised energy distance of fakes to reals: 0 equal, 1 apart.", unit="ratio", high=1.0, group="quality"),
    _positive("fake_spread", "Root of the variance over a generated batch, summed over the values of a sample.", group="diversity",
              exported=False),
    _positive("fake_shift", "Distance of the mean of the fakes from that of 20 steps before, in units of the spread of the reals.",
              unit="ratio", group="quality"),
    _positive("frechet", "Fréchet distance of generated to real features, on the same inputs and reals each time.", group="evaluation"),
    _positive("frechet_error", "Standard error of the Fréchet distance.", group="evaluation", exported=False),
    Signal("kernel_distance", "Kernel distance (squared MMD, unbiased) of generated to real features.", group="evaluation"),
    _positive("kernel_distance_error", "Standard error of the kernel distance.", group="evaluation", exported=False),
    Signal("online_frechet",
           "Fréchet distance of the latest batches to the first reals, in units of these reals' variance, less what equal distributions "
           "would have.",
           unit="ratio", label="batch", group="online"),
    _positive("online_frechet_error", "Standard error of this distance.", unit="ratio", label="batch", group="online", exported=False),
    _positive("online_modes", "Modes of the first reals: their labels, or else their clusters.", unit="count", group="online"),
    _positive("online_modes_missing", "Modes of the first reals of which three quarters or more are missing among the latest batches.",
              unit="count", label="batch", group="online"),
    _positive("online_share_missing", "Share of the first reals whose mode is missing among the latest batches.", unit="ratio", high=1.0,
              label="batch", group="online"),
    _positive("online_reference",
              "Number of the set of first reals that the latest batches are compared with; a new one begins when their shape or resolution "
              "grows.",
              unit="count", group="online", exported=False),
    _positive("online_label_agreement", "Share of the latest samples that are classified as the requested label.", unit="ratio", high=1.0,
              label="batch", group="online"),
    _positive("online_label_chance", "This share if requested and produced labels had nothing to do with each other.", unit="ratio",
              high=1.0, label="batch", group="online", exported=False),
    _positive("online_label_agreement_error", "Standard error of this share.", unit="ratio", label="batch", group="online",
              exported=False),
    _positive("precision", "Share of generated samples within the neighbourhood of real ones.", unit="ratio", high=1.0, group="evaluation"),
    _positive("recall", "Share of real samples within the neighbourhood of generated ones.", unit="ratio", high=1.0, group="evaluation"),
    _positive("density", "Neighbourhoods of real samples that a generated one lies in, about 1 for equal distributions.",
              group="evaluation"),
    _positive("coverage", "Share of real samples with a generated one in their neighbourhood.", unit="ratio", high=1.0, group="evaluation"),
    _positive("reference",
              "Number of the set of real samples that quality is compared with; a new one begins when their shape or resolution grows.",
              unit="count", group="evaluation", exported=False),
    _positive("modes", "Modes of the real data: its labels, or else its clusters.", unit="count", group="evaluation"),
    _positive("modes_missing", "Modes of the real data of which at least half is missing among the generated samples.", unit="count",
              group="evaluation"),
    _positive("label_agreement", "Share of samples that are classified as the requested label.", unit="ratio", high=1.0, label="batch",
              group="conditioning"),
    _positive("label_agreement_error", "Standard error of the label agreement.", unit="ratio", label="batch", group="conditioning",
              exported=False),
    Signal("label_distance", "Kernel distance of generated to real features within a label.", label="label", group="conditioning",
           exported=False),
    _positive("group_share", "Share of a group among the generated samples.", unit="ratio", high=1.0, label="group", group="groups"),
    _positive("groups_off_target", "Groups whose share cannot be the declared one.", unit="count", group="groups"),
    Signal("score", "Own measure of generated samples; higher is better.", label="name", group="measures"),
    Signal("cost", "Own measure of generated samples; lower is better.", label="name", group="measures"),
    Signal("measure", "Own measure of generated samples.", label="name", group="measures"),
    _positive("measure_error", "Standard error of an own measure.", label="name", group="measures", exported=False),
    _positive("drift_score", "Distance of fresh real data from the baseline, divided by the threshold of repeated checks.", group="drift"),
    _positive("drift_effect", "Distance of fresh real data from the baseline, 0 for none.", group="drift"),
    Signal("data_min", "Smallest value in the batch.", label="batch", group="data", reduce="min"),
    Signal("data_max", "Largest value in the batch.", label="batch", group="data", reduce="max"),
    _positive("data_reach", "Median over the batch's samples of their largest absolute value.", label="batch", group="data"),
    Signal("data_mean", "Mean value of the batch.", label="batch", group="data"),
    _positive("data_std", "Standard deviation of the batch's values.", label="batch", group="data", reduce="rms"),
    _positive("data_constant", "Share of samples in the batch that are constant.", unit="ratio", high=1.0, label="batch", group="data"),
    _positive("data_repeated", "Share of samples in the batch that repeat another one exactly.", unit="ratio", high=1.0, label="batch",
              group="data"),
    _positive("batches_repeated", "Batches among the last twelve sampled ones that have exactly the samples of an earlier one of them.",
              unit="count", high=11.0, label="batch", group="data", reduce="min"),
    _positive("dataset_size", "Samples in the training data, where the loader or the user gives them as a data set.", unit="count",
              group="data", reduce="max"),
    _positive("data_nonfinite", "Share of samples in the batch that hold NaN or infinity.", unit="ratio", high=1.0, label="batch",
              group="data"),
    _positive("latent_scale", "Standard deviation of the latents.", group="latents", reduce="rms"),
    _positive("latent_repeated", "Share of latents that repeat another one of the batch.", unit="ratio", high=1.0, group="latents"),
    _positive("norm_training",
              "Share of the layers that depend on the mode (normalisation with running statistics, spectral normalisation, dropout) that "
              "were in training mode in the call that trains the network.",
              unit="ratio", high=1.0, label="network", group="wiring", reduce="min"),
    _positive("layers_training", "Share of the network's other layers that were in training mode in the call that trains it.",
              unit="ratio", high=1.0, label="network", group="wiring", reduce="min"),
    _positive("gradient_kept", "Whether an update applied the gradients of the previous one again, which nothing cleared.", unit="ratio",
              high=1.0, label="network", group="wiring", reduce="max"),
    _positive("gradient_left", "Whether an update applied gradients that the other network's loss left, which nothing had cleared.",
              unit="ratio", high=1.0, label="network", group="wiring", reduce="max"),
    _positive("update_kept",
              "Part of an update that is left when the next one begins: 1 if nothing but the optimizer writes weights, 0 if something "
              "writes back those of before.",
              unit="ratio", label="network", group="wiring"),
    _positive("lookalike_updates", "Updates since the previous step of another network that has parameters of the same shapes.",
              unit="count", label="network", group="wiring"),
    _positive("latent_continuity",
              "Share of the values of different latents that no other value equals, beyond one for each latent: 1 for continuous random "
              "numbers, 0 for labels, masks and one-hot vectors.",
              unit="ratio", high=1.0, group="latents"),
    _positive("step_time", "Wall time from one step to the next.", unit="seconds", group="resources", reduce="max"),
    _positive("data_time", "Time spent waiting for data since the previous step.", unit="seconds", group="resources", reduce="max"),
    _positive("observer_time", "ganwatch's own time in the training thread since the previous step.", unit="seconds", group="resources",
              reduce="max"),
    _positive("process_memory", "Resident memory of the training process.", unit="bytes", group="resources", reduce="max"),
    _positive("gpu_memory", "Memory allocated by torch on the accelerator.", unit="bytes", group="resources", reduce="max"),
    Signal("logged", "Value that the training loop passed to log().", label="name", group="logged"),
    _positive("observer_errors", "Errors inside ganwatch so far, all isolated from the training.", unit="count", group="observer",
              reduce="sum"),
    _positive("observer_dropped", "Records that a full queue dropped so far.", unit="count", group="observer", reduce="sum"),
    _positive("store_failures", "Writes to the store that failed so far.", unit="count", group="observer", reduce="sum"),
    _positive("ranks", "Ranks of a data-parallel training that contributed to the step's readings.", unit="count", group="observer"),
)
