"""The configuration of a run: its task, and the periods of its events."""

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from tfplastic import _renames
from tfplastic._checks import (
    check_boolean,
    check_one_of,
    check_positive_integer,
    check_seed,
    check_sequence,
    shown,
)
from tfplastic._keras import keras
from tfplastic._text.near_names import near_matches
from tfplastic.diagnostics.declaration.quantity import QuantityFn
from tfplastic.diagnostics.measure import check_quantities
from tfplastic.diagnostics.objectives import Objective
from tfplastic.mitigations import Mitigation
from tfplastic.mitigations.compatibility import check_mitigations
from tfplastic.tasks import GraphTask, HostTask
from tfplastic.training.brownian_twin import BrownianTwin
from tfplastic.training.compute import COMPUTES, FLOAT32
from tfplastic.training.events.event import Event
from tfplastic.training.events.measurements.diagnostics_plan import DiagnosticsPlan
from tfplastic.training.events.measurements.probe_plan import ProbePlan
from tfplastic.training.execution.compilation import AUTO, COMPILERS
from tfplastic.training.step import StepStatistic
from tfplastic.training.step_parts.loss_scaling import check_scales_no_loss

_OPTIMIZERS = ("@adam()", "@centered_rmsprop()", "@sgd()")


@gin.configurable("train", module="tfplastic.training")
@_renames.accept_old_arguments("train")
@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The task of a run and the periods of its events. All steps and periods are gradient steps.

    Attributes:
        task: task to train on.
        optimizer: a Keras optimizer; not one that scales losses.
        total_steps: length of the run.
        seed: root seed, from which every other seed is derived.
        log_period: between rows of training metrics; the last step is included.
        diagnostics: functions of a `diagnostics.Snapshot`, each a dict of layer name to value, in a list or
            a mapping {name: function}; or a budget, or a list that holds budgets too, see `DiagnosticsPlan`.
        diagnostics_period: between their evaluations; step 0 is included.
        diagnostics_periods: by name of a quantity, its own period instead, or a list of steps.
        diagnostics_loss: loss for quantities of a loss, in place of the task's: a function of a network and
            its inputs that returns targets and loss as a `diagnostics.Snapshot` takes them, such as
            `diagnostics.noisy_self_targets`. Required to measure loss-based quantities on the Brownian twin.
            The next update then follows the gradient of this loss, with the optimizer as it is.
        diagnostics_losses: by name of a quantity, its own such function instead, or None for the task's loss.
            To have one quantity with two losses, let `diagnostics` be a mapping {name: quantity}.
        probe: measurement of plasticity, a `probing.Probe`; None for none.
        probe_period: between probes, step 0 included; or a list of steps. 5,000 in Lyle et al. 2023, section
            5.1.
        probe_on: `'first'` or `'current'`, the inputs that it is measured on, see `ProbePlan`.
        share_first_probe: whether runs next to each other, as those of a sweep are, share the probe at step
            0 where network, initial weights, inputs, optimizer and protocol are the same: the first to be
            there leaves it in the folder `shared_probes` next to its run directory.
        evaluation_period: between evaluations; the last step is included.
        checkpoint_period: between checkpoints; the last step is included.
        keep_checkpoints: number of checkpoints to keep.
        events: `training.Event`s of one's own, which run between gradient steps, at exactly their steps,
            after whatever is measured there.
        mitigations: changes of loss, gradients, weights or optimizer slots, in this order; none excludes
            another, and two of one class have different arguments. Changes after updates follow all
            measurements at the same step.
        step_statistics: statistics of the activations of each hidden nonlinearity on the batch of every
            gradient step, such as `diagnostics.dead_units`; logged as means, as the loss is.
        sample_plasticity: whether the share by which each update lowers the loss of its own batch is logged,
            `train/sample_plasticity`: the mean of max(1 - L_after / L_before, 0) of Elsayed and Mahmood 2024.
            It takes another forward pass at each step, without dropout and with BatchNormalization's running
            statistics.
        twin: a `BrownianTwin`, which walks next to the network and leaves it alone; None for none.
        compiler: compiler of the steps of a `GraphTask`: `'graph'`, `'xla'`, or `'auto'` for the faster of
            them by the rules of `training/execution/compilation.py`. A run that is resumed keeps its
            compiler.
        compute: dtype in which the layers of the task's networks compute: `'float32'`, or `'bfloat16'` with
            weights, slots and outputs in float32. A builder's `dtype` precedes it. Slower on processors that
            have neither AMX nor AVX512-BF16, where the run says so.
        init_from: `'RUN_DIR'` or `'RUN_DIR@STEP'`, the run whose network gives the first weights, by its
            newest good checkpoint or that of a step; None to draw them. Only weights are taken: optimizer,
            replay and steps start from the beginning. A run that is resumed does not read it again.
    """

    task: HostTask | GraphTask
    optimizer: keras.optimizers.Optimizer
    total_steps: int
    seed: int = 0
    log_period: int = 1_000
    diagnostics: str | Sequence[str | QuantityFn] | Mapping[str, QuantityFn] = ()
    diagnostics_period: int = 10_000
    diagnostics_periods: Mapping[str, int | Sequence[int]] = dataclasses.field(default_factory=dict)
    diagnostics_loss: Objective | None = None
    diagnostics_losses: Mapping[str, Objective | None] = dataclasses.field(default_factory=dict)
    probe: Any = None
    probe_period: int | Sequence[int] = 5_000
    probe_on: str = "first"
    share_first_probe: bool = False
    evaluation_period: int = 62_500
    checkpoint_period: int = 25_000
    keep_checkpoints: int = 2
    events: Sequence[Event] = ()
    mitigations: Sequence[Mitigation] = ()
    step_statistics: Sequence[StepStatistic] = ()
    sample_plasticity: bool = False
    twin: BrownianTwin | None = None
    compiler: str = AUTO
    compute: str = FLOAT32
    init_from: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.task, HostTask | GraphTask):
            raise ValueError(f"`task` must be a task, such as @AtariTask(). Received: {self.task!r}")
        if not hasattr(self.optimizer, "apply_gradients") or isinstance(self.optimizer, type):
            rule = "must be an optimizer, such as @centered_rmsprop()"
            near = near_matches(self.optimizer, _OPTIMIZERS)
            raise ValueError(f"`optimizer` {rule}. Received: {shown(self.optimizer)}{near and '.'}{near}")
        check_scales_no_loss(self.optimizer)
        _ = self.diagnostics_plan, self.probe_plan  # checked now; the loop takes the same ones
        check_seed("seed", self.seed)
        for name in (
            "total_steps",
            "log_period",
            "evaluation_period",
            "checkpoint_period",
        ):
            check_positive_integer(name, getattr(self, name))
        check_positive_integer("keep_checkpoints", self.keep_checkpoints)
        check_quantities("step_statistics", self.step_statistics, "activations")
        check_boolean("sample_plasticity", self.sample_plasticity)
        check_one_of("compiler", self.compiler, (AUTO, *COMPILERS))
        check_one_of("compute", self.compute, COMPUTES)
        for event in check_sequence("events", self.events, "[@MyEvent()]"):
            if not isinstance(event, Event):
                raise ValueError(f"`events` must hold events, such as @MyEvent(). Received: {event!r}")
        for each in check_sequence("mitigations", self.mitigations, "[@ShrinkAndPerturb()]"):
            if isinstance(each, BrownianTwin):
                rule = "must hold mitigations. A Brownian twin is given as `twin`"
                raise ValueError(f"`mitigations` {rule}. Received: {each!r}")
        check_mitigations(self.mitigations, "@ShrinkAndPerturb()")
        if self.twin is not None and not isinstance(self.twin, BrownianTwin):
            raise ValueError(f"`twin` must be a twin, such as @BrownianTwin(). Received: {self.twin!r}")
        _check_init_from(self.init_from)

    def initialized_from(self, init_from: str) -> "TrainConfig":
        """Returns this configuration with another `init_from`; the rest of it is not checked again.

        Args:
            init_from: new value, see `TrainConfig`.

        Raises:
            ValueError: it is not the name of a run.
        """
        _check_init_from(init_from)
        changed = copy.copy(self)  # with the plans that have been made
        object.__setattr__(changed, "init_from", init_from)  # as the class is frozen
        return changed

    @functools.cached_property
    def diagnostics_plan(self) -> DiagnosticsPlan:
        """The diagnostics of the run."""
        return DiagnosticsPlan(
            self.diagnostics,
            self.diagnostics_period,
            self.diagnostics_periods,
            self.diagnostics_loss,
            self.diagnostics_losses,
        )

    @functools.cached_property
    def probe_plan(self) -> ProbePlan:
        """The probes of the run."""
        return ProbePlan(self.probe, self.probe_period, self.probe_on, self.share_first_probe, self.seed)


def _check_init_from(init_from: Any) -> None:
    if init_from is not None and (not isinstance(init_from, str) or not init_from):
        rule = "must name a run, such as 'runs/a' or 'runs/a@5000'"
        raise ValueError(f"`init_from` {rule}. Received: {init_from!r}")
