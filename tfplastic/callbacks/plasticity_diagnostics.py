"""Diagnostics of a model's layers while `fit` trains it."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tfplastic._checks import check_one_of, check_positive_integer, shown
from tfplastic._data.examples import examples
from tfplastic._data.numbers import check_all_finite
from tfplastic.callbacks._either_keras import CallbackOfEither
from tfplastic.diagnostics import Reference, Snapshot
from tfplastic.diagnostics.declaration.budgets import BUDGETS
from tfplastic.diagnostics.declaration.quantity import Need, QuantityFn, needs_of
from tfplastic.diagnostics.diagnose import left_out_layers, measure_available, quantities_of_budget
from tfplastic.diagnostics.measure import check_quantities, prepare
from tfplastic.diagnostics.quantities.shared.convergence import ConvergenceWarnings
from tfplastic.diagnostics.reporting.writing import charts, write
from tfplastic.optimizers.any_keras import build_optimizer, is_optimizer
from tfplastic.run_format import METRICS_FILE
from tfplastic.writers import ManyWriters, MetricsFileWriter, NullWriter, TensorBoardWriter, Writer

_MOST_CHARACTERS = 300  # of a message


class PlasticityDiagnostics(CallbackOfEither):
    """Callback that measures quantities of a probe batch every `every` gradient steps, step 0 included.

    Training continues as without it, bit for bit: measuring only reads. The step counts batches that `fit`
    has trained on, over all calls of `fit` with this callback; where `steps_per_execution` lets a due step
    pass, the measurement follows at the next step that Keras reports. Quantities of change compare with the
    weights at the first start of training; those of the next update use the optimizer of the model; those of
    the loss its compiled loss, if there is `y_probe`. It follows `compile`, changed `trainable` flags and
    replaced layers: a layer that is trained later is compared with its weights at that time. Models of
    either Keras can be watched.

    Args:
        x_probe: the batch to measure on, `[n, ...]`: an array, a tensor, a frame of pandas or a nest of them.
            Or a `tf.data.Dataset`, a Keras `PyDataset`, a generator or another iterable of batches, which may
            hold the targets and sample weights as well: its first 512 examples, which are kept.
        y_probe: targets for the loss, `[n, ...]`; without any, quantities of the loss are left out.
        every: gradient steps between measurements.
        log_dir: directory of TensorBoard events, `metrics.csv` and `arrays/`, all under the tags
            `diagnostics/<quantity>/<layer name>`; None: none. A `metrics.csv` there is continued; one of
            another callback is logged, as steps then come twice.
        budget: `'cheap'`, `'medium'` or `'full'`: which quantities, as for `diagnostics.diagnose`.
        quantities: functions of a snapshot, or {name: function}, in place of the budget's.
        loss: loss in place of the compiled one, as for `diagnostics.Snapshot`.
        layers: layers to measure, as for `diagnostics.Snapshot`.
        batch_size: most examples to take at a time.
        model: the part of the trained model to watch, such as `vae.encoder`; None: the trained model itself.
            Its loss and optimizer are its own, if it has been compiled.
        sample_weight: weights of the probe batch, as for `fit`. The callback does not see the weights given
            to `fit`.
        class_weight: weights by class. Give `fit` the same ones.
        include_model_losses: whether regularizers and `add_loss` are added to a `loss` that is given.
        max_examples: most examples to take, the first ones; None: of a stream of batches 512, of arrays all.

    Attributes:
        history: a list of rows `{'step', 'quantity', 'layer', 'value'}`, a row for each number, ready for
            `pandas.DataFrame`. Arrays are written only.
        left_out: {quantity: reason} of the quantities that do not suit the model or failed. A failure is
            logged once and never ends training.
        left_out_layers: {layer: why it has no units or no features}, of layers with weights.
        step: batches trained on.

    Raises:
        TypeError: one of `quantities` is not a function with a name.
        ValueError: `every` is not a positive integer, `budget` is not one of the three, or `log_dir` is a
            file; when training begins, the model has no `call`, or the callback has watched another one.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> from tfplastic.callbacks import PlasticityDiagnostics
        >>> model = tp.networks.mlp(1, (8,), input_shape=(3,))
        >>> model.compile('sgd', 'mse')
        >>> watch = PlasticityDiagnostics(tf.ones([4, 3]), every=2, quantities=[tp.diagnostics.dead_units])
        >>> history = model.fit(tf.ones([8, 3]), tf.ones([8, 1]), batch_size=2, callbacks=[watch], verbose=0)
        >>> [(row['step'], row['layer']) for row in watch.history]
        [(0, 'hidden1_relu'), (2, 'hidden1_relu'), (4, 'hidden1_relu')]
    """

    def __init__(
        self,
        x_probe: Any,
        y_probe: Any = None,
        every: int = 1_000,
        log_dir: str | os.PathLike[str] | None = None,
        budget: str = "cheap",
        quantities: Sequence[QuantityFn] | Mapping[str, QuantityFn] | None = None,
        *,
        loss: Any = None,
        layers: Any = None,
        batch_size: int = 512,
        model: Any = None,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        include_model_losses: bool = False,
        max_examples: int | None = None,
    ):
        super().__init__()
        if x_probe is None:
            raise ValueError("`x_probe` must be a batch of the model's inputs. Received: None")
        self._watched = model
        self._examples = examples("x_probe", x_probe, y_probe, sample_weight, max_examples, "y_probe")
        self._every = check_positive_integer("every", every)
        self._log_dir = None if log_dir is None else _checked_directory(log_dir)
        check_one_of("budget", budget, tuple(BUDGETS))
        self._is_chosen = quantities is not None
        self._quantities: Mapping[str, QuantityFn] = (
            quantities_of_budget(budget) if quantities is None else check_quantities("quantities", quantities)
        )
        self._loss = loss
        self._layers = layers
        self._batch_size = batch_size
        self._class_weight = class_weight
        self._include_model_losses = include_model_losses
        self._needs: set[Need] = set()
        self._snapshot: Snapshot | None = None
        self._writer: Writer = NullWriter()
        self._last_batch = -1
        self.history: list[dict[str, Any]] = []
        self.left_out: dict[str, str] = {}
        self.left_out_layers: dict[str, str] = {}
        self._warnings = ConvergenceWarnings()
        self.step = 0

    def on_train_begin(self, logs: Any = None) -> None:
        model: Any = self.model if self._watched is None else self._watched
        if self._snapshot is not None and self._snapshot.model is not model:
            raise ValueError(
                f"The callback must watch one model, {self._snapshot.model.name!r}. Received: {model.name!r}"
            )
        if self._log_dir is not None:
            if self._snapshot is None:
                _tell_of_another_fit(self._log_dir)
            self._writer = ManyWriters([MetricsFileWriter(self._log_dir), TensorBoardWriter(self._log_dir)])
        if self._snapshot is None:
            self._build(model)
            self._snapshot = self._make_snapshot(model)
            self._begin(self._snapshot)
        else:
            with self._told_once("refresh"):
                self._follow(self._snapshot)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._last_batch = -1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        before = self.step
        self.step += batch - self._last_batch  # more than one where Keras reports only each so-many-th
        self._last_batch = batch
        if self._snapshot is not None and self.step // self._every > before // self._every:
            with self._told_once("refresh"):
                self._follow(self._snapshot)
                self._record(self._measured(self._snapshot))

    def on_train_end(self, logs: Any = None) -> None:
        self._writer.close()
        self._writer = NullWriter()

    def _make_snapshot(self, model: Any) -> Snapshot:
        needs: set[Need] = {need for each in self._quantities.values() for need in needs_of(each)}
        self._needs = needs
        self._build_optimizer(model)
        snapshot = Snapshot(
            model,
            self._examples.inputs,
            self._examples.targets,
            None if self._examples.targets is None else self._loss,
            optimizer=_optimizer_of(model),
            layers=self._layers,
            batch_size=self._batch_size,
            sample_weight=self._examples.sample_weight,
            class_weight=self._class_weight,
            include_model_losses=self._include_model_losses,
        )
        check_all_finite("x_probe", snapshot.inputs)
        if "reference" in needs:
            snapshot.reference = Reference.of(snapshot)
        return snapshot

    def _build(self, model: Any) -> None:
        """Builds a model that otherwise its first gradient step would build, by a call on an example."""
        if not hasattr(model, "built") or model.built:
            return
        try:
            model(tf.nest.map_structure(lambda each: each[:1], self._examples.inputs))
        except NotImplementedError:  # it has no call: Keras' own says so
            rule = "must be a part of the trained model that can be called, such as `model=vae.encoder`"
            raise ValueError(f"`model` {rule}. Received: {model.name!r}, which has no `call`") from None

    def _build_optimizer(self, model: Any) -> None:
        optimizer = _optimizer_of(model)
        if "optimizer" in self._needs and optimizer is not None:
            build_optimizer(optimizer, model.trainable_variables)  # as its first step would do

    def _follow(self, snapshot: Snapshot) -> None:
        """Takes the model as it is now: trained variables, layers, optimizer, compiled loss."""
        optimizer = _optimizer_of(snapshot.model)
        if snapshot.optimizer is not optimizer:
            self._build_optimizer(snapshot.model)
            snapshot.optimizer = optimizer
        if snapshot.refresh():
            self._tell_of_layers(snapshot)
            if snapshot.reference is not None:
                snapshot.reference = snapshot.reference.completed(Reference.of(snapshot))

    def _tell_of_layers(self, snapshot: Snapshot) -> None:
        """Notes the layers that have no units or no features."""
        with self._told_once("layers"):
            self.left_out_layers = left_out_layers(snapshot, self._quantities)

    def _begin(self, snapshot: Snapshot) -> None:
        """Takes the first measurement; quantities that fail are left out from here on."""
        if self._is_chosen:
            for need in sorted(self._needs):
                snapshot.require(need)
        self._writer.layout(charts(self._quantities))
        if self._examples.note:
            logging.info("PlasticityDiagnostics: %s", self._examples.note)
        self._tell_of_layers(snapshot)
        self._record(self._measured(snapshot))

    def _measured(self, snapshot: Snapshot) -> dict[str, dict[str, Any]]:
        """Returns the available values; a quantity that fails is reported once, and training continues."""
        values: dict[str, dict[str, Any]] = {}
        prepare(snapshot, self._quantities)
        for name, quantity in self._quantities.items():
            with self._told_once(name):
                found, left_out = measure_available(snapshot, {name: quantity})
                values |= found
                self.left_out |= left_out
                if found:
                    self.left_out.pop(name, None)
        self._warnings.tell(snapshot, f"PlasticityDiagnostics: step {self.step:,}")
        return values

    @contextlib.contextmanager
    def _told_once(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever it is, it must not end the user's training
            reason = " ".join(str(error).split())[:_MOST_CHARACTERS] or type(error).__name__
            if self.left_out.get(what) != reason:
                logging.warning("PlasticityDiagnostics: %s failed at step %d: %s", what, self.step, reason)
            self.left_out[what] = reason

    def _record(self, values: Mapping[str, Mapping[str, Any]]) -> None:
        write(self._writer, self.step, values)
        self._writer.flush()
        for quantity, by_layer in values.items():
            self.history += [
                {"step": self.step, "quantity": quantity, "layer": layer, "value": float(value)}
                for layer, value in by_layer.items()
                if np.ndim(value) == 0
            ]


def _optimizer_of(model: Any) -> Any:
    """Returns the Keras optimizer of a model; None where it keeps something else under that name."""
    optimizer = getattr(model, "optimizer", None)
    return optimizer if is_optimizer(optimizer) else None


def _checked_directory(log_dir: Any) -> Path:
    """Returns the path of a directory that is there or can be made."""
    if not isinstance(log_dir, str | os.PathLike):
        raise TypeError(f"`log_dir` must be a directory. Received: {shown(log_dir)}")
    path = Path(log_dir)
    there = next((each for each in (path, *path.parents) if each.exists()), path)
    if there.exists() and not there.is_dir():
        raise ValueError(
            f"`log_dir` must be a directory. Received: {str(log_dir)!r}, where {there} is a file"
        )
    return path


def _tell_of_another_fit(log_dir: Path) -> None:
    """Logs that the metrics there are of another callback, whose steps began at 0 as well."""
    path = log_dir / METRICS_FILE
    rows = path.read_bytes().splitlines()[1:] if path.is_file() else []
    steps = [int(step) for step in (row.partition(b",")[0] for row in rows) if step.isdigit()]
    if steps:
        held = f"holds steps {min(steps)} to {max(steps)} of another fit; give another log_dir"
        logging.warning("PlasticityDiagnostics: %s %s.", log_dir, held)
