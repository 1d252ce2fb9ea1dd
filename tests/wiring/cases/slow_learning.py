"""Rates too small to arrive, and designs with small rates that do."""

from wiring.loops import Loop


class _Scheduled(Loop):
    """A loop that multiplies the rate of some networks by a factor of the step."""

    roles = "g"

    def factor(self) -> float:
        """Return the factor of this step."""
        raise NotImplementedError

    def before_step(self):
        for role in self.roles:
            optimizer = {"g": self.g_optimizer, "d": self.d_optimizer}[role]
            for group in optimizer.param_groups:
                group["lr"] = self.rates["gd".index(role)] * self.factor()


class TinyRate(Loop):
    """The generator's rate is 1e-6."""

    code, within = "GW002", 200
    rates = (1e-6, 5e-4)


class TinyRates(Loop):
    """Both rates are 1e-6."""

    code, within = "GW002", 200
    rates = (1e-6, 1e-6)


class ZeroRate(_Scheduled):
    """A schedule sets the generator's rate to zero far too early."""

    code, start, within = "GW002", 100, 200

    def factor(self):
        return 0.0 if self.is_on else 1.0


class DecayedRate(_Scheduled):
    """The generator's rate decays to nothing within 100 steps."""

    code, start, within, steps = "GW002", 60, 200, 500

    def factor(self):
        return max(1e-4, 0.9 ** max(0, self.step - 20))


class LongWarmUp(_Scheduled):
    """The rates of both networks rise over a hundred thousand steps."""

    code, within = "GW002", 200
    roles = "gd"

    def factor(self):
        return self.step / 100_000


class ShortWarmUp(_Scheduled):
    """The rates of both networks rise over a hundred steps."""

    silent = ("GW002",)
    roles = "gd"

    def factor(self):
        return min(1.0, self.step / 100)


class FineTuning(Loop):
    """A trained generator is trained further, at a small rate."""

    silent = ("GW002",)
    steps = 500

    def before_step(self):
        if self.step == 1:
            for _ in range(1500):
                self.d_phase()
                self.g_phase()
            for group in (*self.g_optimizer.param_groups, *self.d_optimizer.param_groups):
                group["lr"] = 1e-5


class CosineDecay(_Scheduled):
    """Both rates decay over the training."""

    silent = ("GW002",)
    steps, roles = 800, "gd"

    def factor(self):
        return 1.0 - (self.step - 1) / self.steps
