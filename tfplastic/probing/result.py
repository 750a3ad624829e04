"""The result of a probe."""

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import stats

from tfplastic._text.short_repr import ShortRepr

_CONFIDENCE = 0.95  # of the prediction interval
_FAR = 10.0  # loss before the probe over b; fresh networks start at about 2 to 3 b
_SATURATED, _TRIVIAL = 0.9, 0.1  # mean error of fresh networks over b: at the end; over all steps


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FreshNetworks(ShortRepr):
    """The same probe of networks of the same architecture that have just been initialized.

    Attributes:
        initial_losses: `[networks, targets]`.
        final_losses: `[networks, targets]`.
        curves: `[networks, targets, steps]`.
    """

    initial_losses: np.ndarray
    final_losses: np.ndarray
    curves: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(ShortRepr):
    """The fit of a network to targets it has never seen, compared with fresh networks of its architecture.

    All losses are mean squared errors, or cross-entropies in nats of a classification, at least 0; NaN where
    training diverged, and so are all values computed from them. Scalars that compare with fresh networks are
    NaN where there are none, or too few.

    Attributes:
        initial_losses: `[targets]`, before the probe.
        final_losses: `[targets]`, after it.
        target_variances: `[targets]`, b of Eq. 5: the loss of the best constant, for a regression the
            variance of the target (the mean over outputs), for a classification the entropy of the labels.
        curves: `[targets, steps] float32`, the loss of each step's batch before its update.
        fresh: the same of fresh networks; of the same targets up to the offset, and of the same batches.
        how: execution of the training, such as 'one after another, XLA'.
        notes: further warnings, one line each.
        standardized: result with outputs mapped to the targets' mean and scale, if `Probe.standardize`
            requests it.
    """

    initial_losses: np.ndarray
    final_losses: np.ndarray
    target_variances: np.ndarray
    curves: np.ndarray
    fresh: FreshNetworks
    how: str
    notes: tuple[str, ...] = ()
    standardized: "ProbeResult | None" = None

    @property
    def initial_loss(self) -> float:
        """Mean over targets, before the probe."""
        return float(np.mean(self.initial_losses))

    @property
    def final_loss(self) -> float:
        """E_l[l(theta*)] of Eq. 5: the mean over targets, after the probe."""
        return float(np.mean(self.final_losses))

    @property
    def target_variance(self) -> float:
        """The b of Eq. 5, the mean over targets."""
        return float(np.mean(self.target_variances))

    @property
    def plasticity(self) -> float:
        """P = b - final loss, Eq. 5 of Lyle et al. 2023: at most b; 0 for a network that learns nothing."""
        return self.target_variance - self.final_loss

    @property
    def loss_of_plasticity(self) -> float:
        """P(fresh) - P(network) = final loss - that of fresh networks: above 0 where plasticity is lost.

        The sign of the paper's figures, the opposite of Eq. 5's difference. The mean over targets of
        `paired_differences`.
        """
        return float(np.mean(self.paired_differences))

    @property
    def gain_of_plasticity(self) -> float:
        """P(network) - P(fresh), the difference of Eq. 5: below 0 where plasticity is lost."""
        return -self.loss_of_plasticity

    @property
    def paired_differences(self) -> np.ndarray:
        """`[targets]`, final loss minus the mean of fresh networks on the same target."""
        if not len(self.fresh.final_losses):
            return np.full_like(self.final_losses, np.nan)
        return self.final_losses - self.fresh.final_losses.mean(axis=0)

    @property
    def standard_error_over_targets(self) -> float:
        """Standard error of `loss_of_plasticity` over targets; networks differ more. NaN for one target.

        It measures how another draw of targets would change the result for these networks. Whether the
        network is unlike fresh ones is answered by `verdict`.
        """
        count = len(self.final_losses)
        if count < 2:
            return math.nan
        return float(np.std(self.paired_differences, ddof=1) / math.sqrt(count))

    @property
    def fresh_final_losses(self) -> np.ndarray:
        """`[networks]`, the mean over targets of each fresh network."""
        return self.fresh.final_losses.mean(axis=1) if len(self.fresh.final_losses) else np.zeros(0)

    @property
    def fresh_interval(self) -> tuple[float, float]:
        """Returns where the final loss of one more fresh network would be, with 95 % probability.

        mean +- t_{0.975, M-1} s sqrt(1 + 1/M) for M fresh networks whose final losses have the standard
        deviation s: the prediction interval for a normal distribution. Where its lower end is below 0, where
        no loss can be, the interval is one-sided, from 0 to mean + t_{0.95, M-1} s sqrt(1 + 1/M), and no
        network can have gained. NaN for fewer than two.
        """
        losses = self.fresh_final_losses
        if len(losses) < 2:
            return math.nan, math.nan
        mean, scale = float(np.mean(losses)), float(np.std(losses, ddof=1)) * math.sqrt(1 + 1 / len(losses))
        two_sided, one_sided = stats.t.ppf([(1 + _CONFIDENCE) / 2, _CONFIDENCE], len(losses) - 1)
        if mean - two_sided * scale < 0:
            return 0.0, float(mean + one_sided * scale)
        return float(mean - two_sided * scale), float(mean + two_sided * scale)

    @property
    def is_one_sided(self) -> bool:
        """Whether `fresh_interval` begins at 0, so that a loss of plasticity shows and a gain cannot."""
        return self.fresh_interval[0] == 0

    @property
    def loss_of_plasticity_interval(self) -> tuple[float, float]:
        """`loss_of_plasticity` with the prediction interval of one network; holds 0 for most fresh ones."""
        low, high = self.fresh_interval
        return self.final_loss - high, self.final_loss - low

    @property
    def percentile(self) -> float:
        """The percentage of fresh networks whose final loss is smaller, ties counting half; in [0, 100].

        Divergence counts as an infinite loss.
        """
        losses = np.nan_to_num(self.fresh_final_losses, nan=math.inf, posinf=math.inf)
        if not len(losses):
            return math.nan
        own = math.inf if math.isnan(self.final_loss) else self.final_loss
        return 100 * float(np.mean(losses < own) + np.mean(losses == own) / 2)

    @property
    def verdict(self) -> str:
        """'lost', 'gained' or 'as fresh', by whether the final loss is in `fresh_interval`; or 'undecided'.

        'undecided' where fresh networks are too few or diverge, or cannot fit the targets either. A network
        that diverges has 'lost'.
        """
        low, high = self.fresh_interval
        if not math.isfinite(high) or self.is_saturated:
            return "undecided"
        if not self.final_loss <= high:
            return "lost"
        return "gained" if self.final_loss < low else "as fresh"

    @property
    def curve_area(self) -> float:
        """Mean over steps and targets of loss / b: the area under the curve; small where fitting is fast."""
        return _area(self.curves, self.target_variances)

    @property
    def fresh_curve_area(self) -> float:
        """`curve_area` of fresh networks over as many steps, the mean over them."""
        return _area(self.fresh.curves[..., : self.curves.shape[1]], self.target_variances)

    @property
    def is_saturated(self) -> bool:
        """Whether fresh networks cannot fit the targets either: their final loss is above 0.9 b."""
        losses = self.fresh_final_losses
        return bool(len(losses)) and float(np.mean(losses)) > _SATURATED * self.target_variance

    @property
    def starts_far(self) -> bool:
        """Whether the network starts above 10 b, and fresh networks, if there are any, below half of that."""
        far = _FAR * self.target_variance
        fresh = _mean(self.fresh.initial_losses)
        return far > 0 and self.initial_loss > far and not fresh > self.initial_loss / 2

    @property
    def is_trivial(self) -> bool:
        """Whether fresh networks fit the targets at once: the area under their curves / b is below 0.1."""
        return _area(self.fresh.curves, self.target_variances) < _TRIVIAL

    @property
    def warnings(self) -> tuple[str, ...]:
        """Remarks that stand between the numbers and a conclusion, one line each."""
        found = list(self.notes)
        if self.is_saturated:
            found.append(
                "the probe saturates: fresh networks cannot fit these targets either; take fewer inputs,"
                " larger batches or more steps"
            )
        if self.starts_far and self.standardized is None:
            found.append(
                f"the probe starts at {self.initial_loss / self.target_variance:.0f} b, so that it measures"
                " mostly how fast the scale of outputs is unlearnt; compare with Probe(standardize=True)"
            )
        if self.is_trivial:
            found.append("the probe is trivial: fresh networks fit it at once; take more inputs")
        if not self.target_variance > 0:
            found.append("the targets are constant, so there is nothing to fit")
        diverged = int(np.sum(~np.isfinite(self.final_losses)))
        if diverged:
            found.append(f"training diverged on {diverged} of {len(self.final_losses)} targets")
        if not np.all(np.isfinite(self.fresh.final_losses)):
            found.append("training of fresh networks diverged; take a smaller learning rate")
        if len(self.fresh.final_losses) < 2:
            found.append("no verdict without at least two fresh networks to compare with")
        return tuple(found)

    def summary(self) -> str:
        """Returns a few lines for people, the verdict first."""
        b, (low, high) = self.target_variance, self.fresh_interval
        lines = [_VERDICTS[self.verdict]]
        if math.isfinite(high):
            share = "95 %, one-sided" if self.is_one_sided else "95 %"
            lines.append(
                f"  final loss {self.final_loss:.3g}; a fresh network would end in [{low:.3g}, {high:.3g}]"
                f" ({share}, {len(self.fresh_final_losses)} networks); percentile {self.percentile:.0f}"
            )
            lines.append(
                f"  loss of plasticity {self.loss_of_plasticity:+.3g}{self._error()}; above 0 is lost"
            )
        count, steps = self.curves.shape
        lines += [
            f"  plasticity b - final loss: {self.plasticity:.3g}; initial loss {self.initial_loss:.3g},"
            f" target variance b {b:.3g}",
            f"  area under the curve / b: {self.curve_area:.3g}, fresh {self.fresh_curve_area:.3g}",
            f"  {count} targets, {steps} steps each, {self.how}",
        ]
        if self.standardized is not None:
            lines.append("With outputs mapped to the targets' mean and scale:")
            lines += [f"  {line}" for line in self.standardized.summary().splitlines()]
        return "\n".join(lines + [f"  warning: {each}" for each in self.warnings])

    def _error(self) -> str:
        """Returns the standard error over targets, or why there is none, in words."""
        if len(self.final_losses) < 2:
            return " (one target, so its standard error over targets is unknown)"
        error = self.standard_error_over_targets
        return f" +- {error:.2g} (standard error over targets)" if math.isfinite(error) else ""

    def __str__(self) -> str:
        return self.summary()

    def to_dict(self) -> dict[str, float]:
        """Returns all scalars by name, for dashboards and tables."""
        fresh, interval = self.fresh_interval, self.loss_of_plasticity_interval
        more = {} if self.standardized is None else self.standardized.to_dict()
        return {
            "plasticity": self.plasticity,
            "loss_of_plasticity": self.loss_of_plasticity,
            "gain_of_plasticity": self.gain_of_plasticity,
            "standard_error_over_targets": self.standard_error_over_targets,
            "loss_of_plasticity_low": interval[0],
            "loss_of_plasticity_high": interval[1],
            "initial_loss": self.initial_loss,
            "final_loss": self.final_loss,
            "fresh_initial_loss": _mean(self.fresh.initial_losses),
            "fresh_final_loss": _mean(self.fresh.final_losses),
            "fresh_low": fresh[0],
            "fresh_high": fresh[1],
            "percentile": self.percentile,
            "target_variance": self.target_variance,
            "curve_area": self.curve_area,
            "fresh_curve_area": self.fresh_curve_area,
            **{f"standardized_{name}": value for name, value in more.items()},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns all arrays by name, as `numpy.savez` takes them."""
        more = {} if self.standardized is None else self.standardized.arrays()
        return {
            "curves": self.curves,
            "initial_losses": self.initial_losses,
            "final_losses": self.final_losses,
            "target_variances": self.target_variances,
            "fresh_curves": self.fresh.curves,
            "fresh_initial_losses": self.fresh.initial_losses,
            "fresh_final_losses": self.fresh.final_losses,
            **{f"standardized_{name}": array for name, array in more.items()},
        }

    def plot(self, ax: Any) -> Any:
        """Draws the probe curves: each target thin, their mean, that of fresh networks, and b.

        Args:
            ax: Matplotlib axes.

        Returns:
            `ax`.
        """
        steps = np.arange(self.curves.shape[1])
        for curve in self.curves:
            ax.plot(steps, curve, color="C0", alpha=0.2, linewidth=0.8)
        ax.plot(steps, self.curves.mean(axis=0), color="C0", label="network")
        if len(self.fresh.curves):
            means = self.fresh.curves.mean(axis=1)  # [networks, steps]
            steps = np.arange(means.shape[1])
            ax.fill_between(steps, means.min(axis=0), means.max(axis=0), color="C1", alpha=0.2, linewidth=0)
            ax.plot(steps, means.mean(axis=0), color="C1", label=f"{len(means)} fresh networks")
        ax.axhline(self.target_variance, color="0.5", linestyle="--", label="target variance")
        ax.set(xlabel="gradient steps", ylabel="probe loss", ylim=(0, None))
        ax.legend()
        return ax


_VERDICTS = {
    "lost": "This network has lost plasticity: it fits new targets worse than fresh networks do.",
    "gained": "This network fits new targets better than fresh networks do.",
    "as fresh": "This network fits new targets as fresh networks do.",
    "undecided": "Undecided.",
}


def _area(curves: np.ndarray, variances: np.ndarray) -> float:
    if not len(curves):
        return math.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(curves.mean(axis=-1, dtype=np.float64) / variances))


def _mean(losses: np.ndarray) -> float:
    return float(np.mean(losses)) if losses.size else math.nan
