"""The course of one measurement."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfplastic import seeds
from tfplastic.probing._measuring import counted as _counted
from tfplastic.probing._measuring.cache import ProbeCache
from tfplastic.probing._measuring.extrapolation import at_full_length
from tfplastic.probing._measuring.inputs import digest
from tfplastic.probing._measuring.protocol import Protocol
from tfplastic.probing._measuring.standardized import Standardized
from tfplastic.probing._training.execution import make_trainer
from tfplastic.probing._training.optimizers import copied, settings_of, state_of
from tfplastic.probing._training.reinitialized import architecture, rebuild, weights_of
from tfplastic.probing._training.trainers import Trainer
from tfplastic.probing._training.training_copy import TrainingCopy
from tfplastic.probing.result import FreshNetworks, ProbeResult
from tfplastic.probing.targets import GivenTargets, TargetSource
from tfplastic.training.events.measurements.centering import uncentered_warning


class _Task(NamedTuple):
    """The training data that all networks of a probe share.

    Attributes:
        targets: `[targets, n, ...]`, without the offsets.
        variances: `[targets]`, b.
        batches: `[targets, steps, batch] int32`, places of inputs.
        mask: whether each prediction counts, `[n, ...] bool`; None: all.
    """

    targets: np.ndarray
    variances: np.ndarray
    batches: np.ndarray
    mask: np.ndarray | None


@dataclasses.dataclass
class _Trainable:
    """Copy of a network with its trainer, which is compiled at its first use."""

    training_copy: TrainingCopy
    trainer: Trainer | None = None
    how: str = ""


class _Trained(NamedTuple):
    """Losses `[targets]` and curves `[targets, steps]` of one network."""

    initial_losses: np.ndarray
    final_losses: np.ndarray
    curves: np.ndarray
    warning: str


class Measurement:
    """One network on one set of inputs, probed by a protocol.

    Args:
        protocol: protocol of the probe.
        cache: state that probes share.
        model: the network; only read.
        inputs: a nest of arrays `[n, ...]`.
        optimizer: a Keras optimizer; only read.
    """

    def __init__(self, protocol: Protocol, cache: ProbeCache, model: Any, inputs: Any, optimizer: Any):
        self._protocol = protocol
        self._model = model
        self._inputs = inputs
        self._optimizer = optimizer
        self._example = tf.nest.map_structure(lambda each: each[:1], inputs)
        key = self._key()
        self._trainable = cache.get("trainable", key, self._make_trainable)
        self._copy = self._trainable.training_copy
        self._copy.inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        key = (key, digest(inputs), protocol.num_steps, protocol.losses_over)
        with self._copy.leaving_others():
            self._task = cache.get("task", key, self._make_task)
            self._fresh = cache.get("fresh", (key, protocol.baselines), self._train_fresh)

    def result(self) -> ProbeResult:
        """Probes the network."""
        slots = None
        if self._protocol.optimizer_state == "copied":
            slots = state_of(self._optimizer, self._copy.num_slots)
        with self._copy.leaving_others():
            own = self._train(weights_of(self._model), slots, self._protocol.quick_steps)
        result = ProbeResult(
            initial_losses=own.initial_losses,
            final_losses=own.final_losses,
            target_variances=self._task.variances,
            curves=own.curves,
            fresh=self._fresh,
            how=self._trainable.how,
            notes=tuple(filter(None, (own.warning, self._warning_of_fresh()))),
        )
        return result if self._protocol.quick_steps is None else at_full_length(result)

    def _warning_of_fresh(self) -> str:
        losses = self._fresh.final_losses
        if not losses.size:
            return ""
        scalars = {"final_loss": np.mean(losses), "target_variance": np.mean(self._task.variances)}
        return uncentered_warning(scalars, self._inputs)

    def _key(self) -> tuple[Any, ...]:
        """Returns everything that compiled programs depend on."""
        protocol, optimizer = self._protocol, self._optimizer
        specs = [(each.shape, str(each.dtype)) for each in tf.nest.flatten(self._inputs)]
        given = digest(protocol.targets.values) if isinstance(protocol.targets, GivenTargets) else ""
        return (
            architecture(self._model, protocol.make_model),
            settings_of(optimizer),
            tuple(specs),
            (type(protocol.targets), given or repr(protocol.targets), repr(protocol.head)),
            (protocol.num_targets, protocol.batch_size, protocol.known_seed),
            (protocol.execution, protocol.compiler),
        )

    def _make_trainable(self) -> _Trainable:
        weights = [self._fresh_weights("check", number) for number in (0, 0, 1)]
        for one, other, are_equal in ((0, 1, True), (0, 2, False)):
            pairs = zip(weights[one], weights[other], strict=True)
            if are_equal != all(np.array_equal(*pair, equal_nan=True) for pair in pairs):
                rule = "must have initial weights that are a function of the seed, or `make_model` be given"
                received = "other weights for the same seed" if are_equal else "the same for other seeds"
                raise ValueError(f"`model` {rule}. Received: {received}")
        return _Trainable(
            TrainingCopy(self._rebuilt("twin", 0), copied(self._optimizer), self._protocol.head)
        )

    def _make_task(self) -> _Task:
        protocol = self._protocol
        self._copy.load(weights_of(self._model))
        predictions, mask = self._copy.predictions(), self._copy.mask()
        _counted.check(protocol.head, mask, isinstance(protocol.head, Standardized))
        source = TargetSource(
            count=protocol.num_targets,
            seed=protocol.known_seed,
            num_examples=len(predictions),
            num_outputs=predictions.shape[-1],
            fresh_predictions=self._fresh_predictions,
        )
        targets = protocol.targets.make(source)
        protocol.head.check_targets(targets, predictions)
        variances = np.array([_counted.constant_error(protocol.head, each, mask) for each in targets])
        size = (protocol.num_steps, protocol.batch_size)
        batches = [
            seeds.generator(seeds.derive(protocol.known_seed, "batches", number)).integers(
                len(predictions), size=size, dtype=np.int32
            )
            for number in range(len(targets))
        ]
        return _Task(targets, variances, np.stack(batches), mask)

    def _train_fresh(self) -> FreshNetworks:
        found = [
            self._train(self._fresh_weights("baseline", number)) for number in range(self._protocol.baselines)
        ]
        targets, steps = self._task.batches.shape[:2]
        return FreshNetworks(
            _stacked([each.initial_losses for each in found], (0, targets)),
            _stacked([each.final_losses for each in found], (0, targets)),
            _stacked([each.curves for each in found], (0, targets, steps)),
        )

    def _train(
        self,
        weights: Sequence[np.ndarray],
        slots: Sequence[np.ndarray] | None = None,
        steps: int | None = None,
    ) -> _Trained:
        training_copy, protocol = self._copy, self._protocol
        training_copy.load(weights)
        before = training_copy.predictions()
        targets, mask = self._task.targets, self._task.mask
        if targets.dtype.kind == "f":
            targets = targets + protocol.targets.offset(_counted.counted(before, mask))
        warning = protocol.head.warning(targets)
        targets = protocol.head.prepared(targets, before)
        curves, after = self._trainer().train(weights, slots, targets, self._task.batches[:, :steps])
        if protocol.losses_over == "batches":
            initial, final = curves[:, 0].astype(np.float64), curves[:, -1].astype(np.float64)
        else:
            initial = np.array([training_copy.error(before, each, mask) for each in targets])
            final = np.array([training_copy.error(*each, mask) for each in zip(after, targets, strict=True)])
        return _Trained(initial, final, curves, warning)

    def _trainer(self) -> Trainer:
        trainable, protocol = self._trainable, self._protocol
        if trainable.trainer is None:
            targets = self._task.targets
            targets = protocol.head.prepared(targets, np.zeros(targets.shape[1:], np.float32))
            trainable.training_copy.trace(targets[0], protocol.batch_size)
            is_masked = self._task.mask is not None
            trainable.trainer, trainable.how = make_trainer(
                trainable.training_copy, len(targets), protocol.execution, protocol.compiler, is_masked
            )
        return trainable.trainer

    def _fresh_predictions(self, number: int) -> np.ndarray:
        self._copy.load(self._fresh_weights("target", number))
        return self._copy.predictions()

    def _fresh_weights(self, name: str, number: int) -> list[np.ndarray]:
        return weights_of(self._rebuilt(name, number))

    def _rebuilt(self, name: str, number: int) -> Any:
        seed = seeds.derive_integer(self._protocol.known_seed, "fresh", name, number)
        return rebuild(self._model, seed, self._example, self._protocol.make_model)


def _stacked(arrays: Sequence[np.ndarray], empty_shape: tuple[int, ...]) -> np.ndarray:
    return np.stack(arrays) if arrays else np.zeros(empty_shape)
