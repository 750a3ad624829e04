"""The protocol of a probe, checked."""

import dataclasses
from typing import Any

from tfplastic._checks import (
    check_fits_in_memory,
    check_instance,
    check_integer,
    check_one_of,
    check_optional_callable,
    check_positive_integer,
    check_seed,
)
from tfplastic.optimizers.any_keras import is_optimizer
from tfplastic.probing._measuring.standardized import standardized
from tfplastic.probing._training.execution import AUTO, EXECUTIONS
from tfplastic.probing._training.reinitialized import MakeModel
from tfplastic.probing.heads import Head, Regression
from tfplastic.probing.targets import GivenTargets, SineTargets, Targets
from tfplastic.training.execution.compilation import COMPILERS

OPTIMIZER_STATES = ("fresh", "copied")
LOSSES_OVER = ("inputs", "batches")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Protocol:
    """The settings of a `Probe`, which describes them.

    Raises:
        ValueError: if one is out of its range.
    """

    num_targets: int = 10
    num_steps: int = 2_000
    batch_size: int = 32
    baselines: int = 8
    quick_steps: int | None = None
    num_inputs: int | None = None
    targets: Any = dataclasses.field(default_factory=SineTargets)
    head: Head = dataclasses.field(default_factory=Regression)
    optimizer: Any = None
    optimizer_state: str = "fresh"
    losses_over: str = "inputs"
    execution: str = AUTO
    compiler: str = AUTO
    make_model: MakeModel | None = None
    standardize: bool = False
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name in ("num_targets", "num_steps", "batch_size"):
            check_positive_integer(name, getattr(self, name))
        check_integer("baselines", self.baselines)
        if self.quick_steps is not None:
            check_positive_integer("quick_steps", self.quick_steps)
            if self.quick_steps > self.num_steps or not self.baselines:
                rule = f"must be at most `num_steps`, {self.num_steps}, and needs `baselines`"
                raise ValueError(f"`quick_steps` {rule}. Received: {self.quick_steps}")
        if self.num_inputs is not None:
            check_positive_integer("num_inputs", self.num_inputs)
        if not isinstance(self.targets, Targets):
            object.__setattr__(self, "targets", GivenTargets(self.targets))
        check_instance("head", self.head, Head, "Regression()")
        check_one_of("standardize", self.standardize, (False, True))
        if self.standardize:
            standardized(self.head)  # a ValueError if there is no such form
        check_one_of("optimizer_state", self.optimizer_state, OPTIMIZER_STATES)
        self._check_optimizer()
        check_one_of("losses_over", self.losses_over, LOSSES_OVER)
        check_one_of("execution", self.execution, (AUTO, *EXECUTIONS))
        check_one_of("compiler", self.compiler, (AUTO, *COMPILERS))
        if self.seed is not None:
            check_seed("seed", self.seed)
        check_optional_callable("make_model", self.make_model, "a function of a seed")
        self._check_memory()

    @property
    def known_seed(self) -> int:
        """The seed.

        Raises:
            ValueError: if it is None outside a training run, which would supply its own.
        """
        if self.seed is None:
            raise ValueError("`seed` must be an integer outside a training run. Received: None")
        return self.seed

    def _check_optimizer(self) -> None:
        if self.optimizer is None:
            return
        if not is_optimizer(self.optimizer):
            rule = "must be a Keras optimizer, or None for that of the task"
            raise ValueError(f"`optimizer` {rule}. Received: {self.optimizer!r}")
        if self.optimizer_state == "copied":
            rule = "must be 'fresh' where the probe has an `optimizer` of its own"
            raise ValueError(f"`optimizer_state` {rule}. Received: {self.optimizer_state!r}")

    def _check_memory(self) -> None:
        """Checks that the curves fit, and the indices of a batch; the error names the largest count."""
        counts = {name: getattr(self, name) for name in ("num_targets", "num_steps", "baselines")}
        largest = max(counts, key=lambda name: counts[name])
        num_curves = self.num_targets * (1 + self.baselines)
        check_fits_in_memory(largest, counts[largest], 8 * num_curves * self.num_steps)
        check_fits_in_memory("batch_size", self.batch_size, 8 * self.batch_size)
        check_fits_in_memory("num_inputs", self.num_inputs, 8 * (self.num_inputs or 0))
