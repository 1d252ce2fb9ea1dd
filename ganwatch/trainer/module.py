"""The reference GAN: a Lightning module with manual optimisation."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

import lightning
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ganwatch.core.errors import UserError
from ganwatch.trainer import losses, networks, residual
from ganwatch.trainer.arguments import check_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightning.pytorch.core.optimizer import LightningOptimizer

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": lambda parameters, lr, betas: torch.optim.SGD(parameters, lr, momentum=betas[0]),
    "rmsprop": lambda parameters, lr, betas: torch.optim.RMSprop(parameters, lr, alpha=betas[1]),
}


class GAN(lightning.LightningModule):
    """A generator and a discriminator, trained in turn.

    One batch is one update of D and ``g_steps`` updates of G; with ``d_steps`` > 1 G is updated at every ``d_steps``-th batch.

    Parameters
    ----------
    shape : (C, S, S) or (F,)
        Shape of one sample, images or vectors.
    latent_dim : int
        Size of the standard normal latent.
    network : {"conv", "mlp", "residual"} or None
        None takes ``conv`` for images and ``mlp`` for vectors. ``conv``, and ``residual`` for images, need square images of 8 to 128
        pixels, a power of two.
    channels : int
        Channels of the convolutional networks at full resolution.
    width : int
        Units of a hidden layer of the fully connected networks.
    depth : int or None
        Hidden layers of the fully connected networks (None: 3) or their residual blocks (None: 1). For the convolutional ones:
        additional 3x3 convolutions, or blocks, per resolution (None: 0).
    activation, d_activation : {"relu", "leaky_relu", "sigmoid", "tanh"}
        Activation of the hidden layers of G and D.
    g_norm : {"batch", "none"}
        Normalisation in G.
    d_norm : {"batch", "spectral", "none"}
        Normalisation in D.
    dropout : float, in [0, 1)
        Share of D's hidden units (channels) to drop.
    init_std : float or None
        Standard deviation of all initial weights; None keeps the scale of the signal from layer to layer.
    loss : {"minimax", "non-saturating", "hinge", "least-squares", "wgan-gp", "relativistic"}
        See ``ganwatch.trainer.losses.LOSSES``.
    stable : bool
        False computes logarithms of probabilities as the paper writes them: infinite once D is certain.
    gp_weight : float
        Weight of the gradient penalty of ``wgan-gp``.
    r1_weight : float
        Weight of the R1 penalty, 0 for none.
    r1_every : int, D updates
        Interval of the penalty, which is weighted by the same factor (Karras et al. 2019, arXiv 1912.04958).
    ema : float or None, in (0, 1)
        Decay of an averaged copy of G. ``sample`` then draws from the copy.
    classes : int
        Number of labels; a GAN with 0 is unconditional and ignores labels.
    optimizer : {"adam", "sgd", "rmsprop"}
        ``sgd`` takes the first beta as momentum, ``rmsprop`` the second as smoothing.
    g_lr, d_lr : float
        Learning rates.
    g_betas, d_betas : (float, float)
        Decay rates of the optimizers.
    d_steps, g_steps : int
        Updates of D per update of G, and the reverse; one of them is 1.
    output : {"tanh", "identity"} or None
        Last layer of G; None takes ``tanh`` for images and ``identity`` for vectors.

    Attributes
    ----------
    batches, d_updates, g_updates : int
        Counts so far, saved in the checkpoint.

    Raises
    ------
    UserError
        An argument breaks a rule.

    Examples
    --------
    >>> gan = GAN(shape=(1, 8, 8), latent_dim=16)
    >>> tuple(gan.sample(3).shape)
    (3, 1, 8, 8)
    """

    def __init__(
        self,
        shape: tuple[int, ...] = (1, 8, 8),
        *,
        latent_dim: int = 32,
        network: Literal["conv", "mlp", "residual"] | None = None,
        channels: int = 16,
        width: int = 128,
        depth: int | None = None,
        activation: Literal["relu", "leaky_relu", "sigmoid", "tanh"] = "relu",
        d_activation: Literal["relu", "leaky_relu", "sigmoid", "tanh"] = "leaky_relu",
        g_norm: Literal["batch", "none"] = "batch",
        d_norm: Literal["batch", "spectral", "none"] = "none",
        dropout: float = 0.0,
        init_std: float | None = None,
        loss: Literal["minimax", "non-saturating", "hinge", "least-squares", "wgan-gp", "relativistic"] = "non-saturating",
        stable: bool = True,
        gp_weight: float = 10.0,
        r1_weight: float = 0.0,
        r1_every: int = 16,
        ema: float | None = None,
        classes: int = 0,
        optimizer: Literal["adam", "sgd", "rmsprop"] = "adam",
        g_lr: float = 5e-4,
        d_lr: float = 5e-4,
        g_betas: tuple[float, float] = (0.5, 0.999),
        d_betas: tuple[float, float] = (0.5, 0.999),
        d_steps: int = 1,
        g_steps: int = 1,
        output: Literal["tanh", "identity"] | None = None,
    ) -> None:
        shape = tuple(shape)
        network = network or ("conv" if len(shape) == 3 else "mlp")  # C, H, W
        output = output or ("tanh" if len(shape) == 3 else "identity")  # C, H, W
        check_arguments(locals(), OPTIMIZERS)
        super().__init__()
        self.automatic_optimization = False
        self.save_hyperparameters()
        self.shape = shape
        self.latent_dim, self.classes, self.d_steps, self.g_steps = latent_dim, classes, d_steps, g_steps
        self.optimizer_name, self.rates = optimizer, ((g_lr, tuple(g_betas)), (d_lr, tuple(d_betas)))
        self.loss = losses.loss(loss, stable=stable)
        self.gp_weight = gp_weight if loss == "wgan-gp" else 0.0
        self.r1_weight, self.r1_every = r1_weight, r1_every
        self.batches = self.d_updates = self.g_updates = 0

        inputs = latent_dim * 2 if classes else latent_dim
        builders = residual if network == "residual" else networks
        if network == "conv" or (network == "residual" and len(shape) == 3):  # C, H, W
            image = cast("tuple[int, int, int]", shape)
            size = {"channels": channels, "depth": depth or 0}
            body = builders.conv_generator(image, inputs, **size, activation=activation, norm=g_norm, output=output)
            features, feature_count = builders.conv_features(image, **size, activation=d_activation, norm=d_norm, dropout=dropout)
        else:
            size = {"width": width, "depth": (1 if network == "residual" else 3) if depth is None else depth}
            body = builders.dense_generator(shape, inputs, **size, activation=activation, norm=g_norm, output=output)
            features, feature_count = builders.dense_features(shape, **size, activation=d_activation, norm=d_norm, dropout=dropout)
        self.generator = networks.Generator(body, latent_dim=latent_dim, classes=classes)
        head = nn.Linear(feature_count, 1)
        self.discriminator = networks.Discriminator(nn.Sequential(*features), head, width=feature_count, classes=classes)
        networks.initialise(self.generator, activation, init_std)
        networks.initialise(self.discriminator, d_activation, init_std)
        if d_norm == "spectral":
            networks.add_spectral_norm(self.discriminator)
        self.average: AveragedModel | None = None
        if ema is not None:
            decay = get_ema_multi_avg_fn(ema)  # type: ignore[no-untyped-call]  # untyped in torch
            self.average = AveragedModel(self.generator, multi_avg_fn=decay).float().requires_grad_(requires_grad=False)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Create the optimizers of G and D, in this order."""
        make = OPTIMIZERS[self.optimizer_name]
        nets = (self.generator, self.discriminator)
        return [make(net.parameters(), lr=lr, betas=betas) for net, (lr, betas) in zip(nets, self.rates, strict=True)]

    def latents(self, count: int) -> Tensor:
        """Draw standard normal latents ``(count, latent_dim)`` float32 on the module's device."""
        return torch.randn(count, self.latent_dim, device=self.device)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Turn latents into samples, with the averaged generator if there is one."""
        network: nn.Module = self.generator if self.average is None else self.average
        out: Tensor = network(latent, label)
        return out

    @torch.no_grad()
    def sample(self, count: int, label: Tensor | None = None) -> Tensor:
        """Draw samples in evaluation mode.

        Parameters
        ----------
        count : int
            Number of samples.
        label : (count,) int64 or None
            Labels of the samples; None draws them uniformly if the GAN is conditional.

        Returns
        -------
        Tensor
            ``(count, *shape)`` float32.
        """
        if self.classes and label is None:
            label = torch.randint(self.classes, (count,), device=self.device)
        with _evaluation_mode(self):
            return cast("Tensor", self(self.latents(count), label))

    def training_step(self, batch: Tensor | list[Tensor] | tuple[Tensor, ...], batch_idx: int) -> None:  # noqa: ARG002  # Lightning's signature
        """Update D, then G if it is its turn."""
        real, label = (batch, None) if isinstance(batch, Tensor) else (batch[0], batch[1] if self.classes else None)
        if tuple(real.shape[1:]) != self.shape:
            raise UserError(f"shape must equal that of the data's samples, {tuple(real.shape[1:])}, got {self.shape}")
        if self.classes and label is None:
            raise UserError(f"classes > 0 needs batches of (samples, labels), got samples alone and classes={self.classes}")
        self.batches += 1
        g_optimizer, d_optimizer = cast("list[LightningOptimizer]", self.optimizers())
        seen = {"d": self._update_d(d_optimizer, real, label)}
        if self.batches % self.d_steps == 0:
            for _ in range(self.g_steps):
                seen["g"] = self._update_g(g_optimizer, real, label)
        if self.trainer.loggers or self.trainer.progress_bar_callback:
            self.log_dict({f"loss/{name}": value.detach() for name, value in seen.items()}, prog_bar=True)

    def _update_d(self, optimizer: LightningOptimizer, real: Tensor, label: Tensor | None) -> Tensor:
        def discriminate(batch: Tensor) -> Tensor:
            return cast("Tensor", self.discriminator(batch, label))

        with torch.no_grad():
            fake = self.generator(self.latents(len(real)), label)
        self.toggle_optimizer(optimizer)
        loss = self.loss.discriminator(discriminate(real), discriminate(fake.detach()))
        if self.gp_weight:
            loss = loss + self.gp_weight * losses.gradient_penalty(discriminate, real, fake)
        if self.r1_weight and self.d_updates % self.r1_every == 0:
            loss = loss + self.r1_weight * self.r1_every * losses.r1_penalty(discriminate, real)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        self.d_updates += 1
        return loss

    def _update_g(self, optimizer: LightningOptimizer, real: Tensor, label: Tensor | None) -> Tensor:
        self.toggle_optimizer(optimizer)
        fake = self.discriminator(self.generator(self.latents(len(real)), label), label)
        reference = fake.new_empty(0)
        if self.loss.relative:
            with torch.no_grad():
                reference = self.discriminator(real, label)
        loss = self.loss.generator(reference, fake)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)
        self.g_updates += 1
        if self.average is not None:
            self.average.update_parameters(self.generator)
        return loss

    def optimizer_steps(self, g_updates: int) -> int:
        """Return Lightning's ``global_step`` after ``g_updates`` updates of G; it counts the steps of both optimizers."""
        batches = -(-g_updates // self.g_steps) * self.d_steps
        return batches + batches // self.d_steps * self.g_steps

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the counters to the checkpoint."""
        checkpoint["updates"] = {"batches": self.batches, "d": self.d_updates, "g": self.g_updates}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the counters."""
        updates = checkpoint["updates"]
        self.batches, self.d_updates, self.g_updates = updates["batches"], updates["d"], updates["g"]


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
