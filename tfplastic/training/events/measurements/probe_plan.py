"""The probes of a run as configured."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from tfplastic._checks import check_one_of
from tfplastic.training.events.measurements.schedule import Schedule

PROBED_INPUTS = ("first", "current")
_NUM_INPUTS = 5_000  # of a probe that does not say


def with_seed_of_run(probe: Any, seed: int | None) -> Any:
    """Returns a probe, with the seed of a run where its own is None."""
    return dataclasses.replace(probe, seed=seed) if getattr(probe, "seed", 0) is None else probe


class ProbePlan:
    """The probe of a run, its steps and its inputs; checked, and without a state.

    Args:
        probe: a `probing.Probe`; None for a run without. Of its `num_inputs`, 5,000 if it does not say, the
            task may give fewer.
        period: gradient steps between probes, of which step 0 is the first; or a list of steps.
        on: the inputs X: `'first'`, drawn once, at the first probe, so that the fresh networks that a probe
            compares with train once for the run; or `'current'`, drawn again for each, as in Lyle et al. 2023
            (section 3.1), which takes 1 + `Probe.baselines` times as long.
        shares_first: whether the probe at step 0 is taken from `SHARED` next to the run directory, or left
            there for other runs, see `TrainConfig.share_first_probe`.
        seed: seed of the run, for a probe whose own is None.

    Raises:
        ValueError: if an argument is out of its range, or `probe` is not a probe.

    Attributes:
        probe: the probe, without a number of inputs; None for a run without.
        num_inputs: number of inputs, of which the task may give fewer; 0 without a probe.
        schedule: its steps.
        draws_again: whether each probe has inputs of its own.
        shares_first: the given setting.
    """

    def __init__(
        self,
        probe: Any,
        period: int | Sequence[int],
        on: str = "first",
        shares_first: bool = False,
        seed: int | None = None,
    ):
        self.probe: Any = None
        self.num_inputs = 0
        if probe is not None:
            if not hasattr(probe, "measure") or isinstance(probe, type):
                raise ValueError(f"`probe` must be a probe, such as @Probe(). Received: {probe!r}")
            self.num_inputs = probe.num_inputs or _NUM_INPUTS
            # All inputs that the task gives, maybe fewer.
            self.probe = dataclasses.replace(with_seed_of_run(probe, seed), num_inputs=None)
        self.schedule = Schedule("probe_period", period)
        self.draws_again = check_one_of("probe_on", on, PROBED_INPUTS) == "current"
        self.shares_first = check_one_of("share_first_probe", shares_first, (True, False))
        if shares_first and not hasattr(probe, "kept_in"):
            rule = "can be True where `probe` is a probe that can be kept, such as @Probe()"
            raise ValueError(f"`share_first_probe` {rule}. Received: a probe {probe!r}")

    def check_model(self, model: Any) -> None:
        """Raises `ValueError` if the probe says that it does not suit the outputs of a network."""
        shape = tuple(getattr(model, "output_shape", None) or (None, None))[1:]
        if hasattr(self.probe, "check_outputs") and all(isinstance(size, int) for size in shape):
            self.probe.check_outputs(shape)
