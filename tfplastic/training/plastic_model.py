"""A Keras model that `fit` trains by the gradient step of this library's loop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfplastic._checks import check_seed, shown
from tfplastic._data.examples import check_batch
from tfplastic._keras import check_backend, is_legacy, keras
from tfplastic._text.lines import one_line
from tfplastic._text.near_names import near_matches
from tfplastic._tf.determinism import deterministic_sums
from tfplastic._tf.replicas import once_for_all_replicas
from tfplastic.diagnostics.measure import check_quantities
from tfplastic.linalg import HessianOperator
from tfplastic.mitigations import Mitigation
from tfplastic.mitigations.build_all import build_all
from tfplastic.mitigations.compatibility import check_mitigations
from tfplastic.training.after_updates import AfterUpdates, Moment
from tfplastic.training.execution.non_finite import Examination
from tfplastic.training.execution.noted_batch import NotedBatch
from tfplastic.training.mitigated_network import (
    evaluation_weights,
    extension,
    replace_evaluation_weights,
)
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepStatistic
from tfplastic.training.step_parts.compiled_loss import CompiledLoss
from tfplastic.training.step_parts.loss_scaling import check_scales_no_loss
from tfplastic.training.step_parts.step_supply import ArraySupply

_OPTIMIZERS = ("adadelta", "adagrad", "adam", "adamax", "adamw", "ftrl", "lion", "nadam", "rmsprop", "sgd")


@keras.utils.register_keras_serializable(package="tfplastic")
class PlasticModel(keras.Model):
    """A network for Keras' `compile` and `fit`, whose `train_step` is `GradientStep`, the step of our loop.

    So penalties, transforms of gradients and the mitigations after updates, each at its period in gradient
    steps, are those of the loop: given the same batches in the same order and the same seed, `fit` and the
    loop lead to the same weights (the same bits on a CPU, both compiled as graph). `evaluate`, `predict`,
    callbacks and metrics are Keras' own; the former two use the weights of `HareAndTortoise` that are meant
    for it. After `set_weights` and `load_weights` of the model these are the new weights too: `EarlyStopping`
    with `restore_best_weights=True` brings back the trained weights of the best epoch, not their average.

    `ModelCheckpoint` and `BackupAndRestore` keep the weights of the network, and the latter the optimizer's
    slots, but neither the number of gradient steps nor what mitigations have of their own: training that goes
    on from them differs from one that was not interrupted. The loop's checkpoints hold all of it.

    Besides the metrics `fit` reports: `loss`, the compiled loss before the update without penalties;
    `penalty`, if a mitigation adds one; `gradient_norm`, of both; and `<statistic>/<layer>` for each of the
    `step_statistics`. Each is the mean over the epoch's examples so far.

    Under a `tf.distribute` strategy, made and compiled in its scope, a gradient step is one on the global
    batch, and mitigations act on all replicas at once; `step_statistics` and `jit_compile` are refused.

    Args:
        network: a built model of the Keras in use. Its own layers, weights and all, are trained.
        **kwargs: `name`, as for every Keras model.

    Attributes:
        network: the given network, in which `compile` may have put the frozen heads of `PlasticityInjection`
            after its outputs. Diagnostics name its layers by their names below the network itself.

    Raises:
        TypeError: `network` is not a model of the Keras in use.
        ValueError: `network` is not built.

    Example:
        >>> import tensorflow as tf, tfplastic as tp
        >>> model = tp.training.PlasticModel(tp.networks.mlp(1, (8,), input_shape=(3,)))
        >>> model.compile(
        ...     tp.optimizers.adam(1e-2),
        ...     'mse',
        ...     mitigations=[tp.mitigations.WeightDecay(), tp.mitigations.ShrinkAndPerturb(period=5)],
        ...     step_statistics=[tp.diagnostics.dead_units],
        ... )
        >>> history = model.fit(tf.ones([32, 3]), tf.zeros([32, 1]), batch_size=4, verbose=0)
        >>> sorted(history.history), model.gradient_steps
        (['dead_units/hidden1_relu', 'gradient_norm', 'loss', 'penalty'], 8)
    """

    is_named_as_its_network = True  # what diagnostics ask for

    def __init__(self, network: keras.Model, **kwargs: Any):
        if not isinstance(network, keras.Model):
            rule = f"must be a model of the Keras in use, {keras.Model.__module__.partition('.')[0]}"
            raise TypeError(f"`network` {rule}. Received: {network!r}")
        check_backend("network", network)
        if not network.built:
            raise ValueError(f"`network` must be built, by a call on a batch. Received: {network.name!r}")
        # This layer computes nothing: the network's policies alone decide about dtypes.
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.network = network
        self.built = True
        self._training: _Training | None = None

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.network(inputs, training=training)

    def compile(  # noqa: D417
        self,
        optimizer: Any,
        loss: Any,
        metrics: Any = None,
        *,
        loss_weights: Any = None,
        mitigations: Sequence[Mitigation] = (),
        step_statistics: Sequence[StepStatistic] | Mapping[str, StepStatistic] = (),
        data: Any = None,
        seed: int = 0,
        jit_compile: bool = False,
        **kwargs: Any,
    ) -> None:
        """Compiles like Keras, with mitigations and statistics. The optimizer and the step count start again.

        Args:
            optimizer: a Keras optimizer or its name; not one that scales losses.
            loss: a Keras loss, a function `(targets, outputs)` or a name; or a nest of them, that of the
                outputs. Not with the reduction 'none'.
            metrics: metrics, as for Keras.
            loss_weights: a number for each loss, in the nest of `loss`.
            mitigations: changes of loss, gradients, weights or optimizer slots, in this order. Those that act
                after updates need a period of their own: `fit` knows no boundaries.
            step_statistics: functions of the activations of each hidden nonlinearity on the batch of every
                gradient step, such as `diagnostics.dead_units`, or {name: function}.
            data: `(inputs, targets)` or `(inputs, targets, sample_weight)`, arrays `[examples, ...]`, for
                mitigations that read further batches or pass over the data: `fit` shows only its batches.
            seed: root seed, from which those of the mitigations are derived.
            jit_compile: whether to compile with XLA, which rounds otherwise than the graph and does not stop
                at a loss that is not finite.
            **kwargs: further arguments of Keras, such as `weighted_metrics` or `steps_per_execution`.

        Raises:
            TypeError: a loss or statistic has the wrong type.
            ValueError: an argument is outside its range, or a mitigation cannot act on this network.
        """
        check_mitigations(mitigations, "ShrinkAndPerturb(period=100)")
        _check_optimizer_name(optimizer)
        check_scales_no_loss(optimizer)
        statistics = check_quantities("step_statistics", step_statistics, "activations")
        compiled_loss = CompiledLoss(loss, loss_weights)
        super().compile(
            optimizer, loss, metrics=metrics, loss_weights=loss_weights, jit_compile=jit_compile, **kwargs
        )
        if statistics and kwargs.get("run_eagerly"):
            rule = "must be empty with `run_eagerly`, as activations are recorded in a graph"
            raise ValueError(f"`step_statistics` {rule}. Received: {', '.join(statistics)}")
        _check_strategy(self.distribute_strategy, statistics, mitigations, jit_compile)
        seed = check_seed("seed", seed)
        extended = extension(mitigations)(self.network)
        if extended is not self.network:
            self.network = extended
        supply = ArraySupply(_as_batch(data), seed)
        self._training = _Training(
            self.network, self.optimizer, compiled_loss, mitigations, statistics, supply, seed, jit_compile
        )

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains like Keras' `fit`.

        Raises:
            NonFiniteLossError: if the loss became NaN or infinite; names the layer and the quantity that
                first was. The weights are as they were then.
        """
        training = self._compiled_training()
        try:
            with deterministic_sums():  # the bits are not to depend on how much memory the program needs
                return super().fit(*args, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            if GradientStep.NOT_FINITE not in str(error):
                raise
            step = self.gradient_steps
            training.step.assign_sub(1)
            raise NonFiniteLossError(step, details=training.cause()) from None

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluates like Keras' `evaluate`, with the `evaluation_weights` of mitigations that have some."""
        with evaluation_weights(self._mitigations):
            return super().evaluate(*args, **kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Predicts like Keras' `predict`, with the weights that `evaluate` uses."""
        with evaluation_weights(self._mitigations):
            return super().predict(*args, **kwargs)

    def set_weights(self, weights: Any) -> None:
        """Sets the weights like Keras' `set_weights`, and with them the `evaluation_weights`."""
        super().set_weights(weights)
        replace_evaluation_weights(self._mitigations)

    def load_weights(self, *args: Any, **kwargs: Any) -> Any:
        """Loads the weights like Keras' `load_weights`, and with them the `evaluation_weights`."""
        status = super().load_weights(*args, **kwargs)
        replace_evaluation_weights(self._mitigations)
        return status

    @tf.autograph.experimental.do_not_convert
    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Takes one `GradientStep` on a batch, with the mitigations after it; traceable.

        Returns:
            {name: running mean} of the values that `fit` reports.
        """
        training = self._compiled_training()
        inputs, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        reported = training.take(inputs, targets, weights)
        metrics = self.compute_metrics(inputs, targets, training.loss.outputs, weights)
        # Keras has a mean of each output's loss as soon as `evaluate` was called, which no step updates.
        of_outputs = {each.name for each in self._loss_container().metrics} - {"loss"}
        metrics = {name: value for name, value in metrics.items() if name not in of_outputs}
        return {**metrics, **training.means.update(reported, tf.shape(tf.nest.flatten(inputs)[0])[0])}

    def hessian_vector_product(self, batch: Any, vector: Any) -> tf.Tensor:
        """Returns H v, H being the Hessian of the compiled loss on a batch in the trainable variables.

        The network is called with `training=False`, and penalties are left out; regularization losses of the
        layers belong to the loss. Each new shape of a batch is compiled once.

        Args:
            batch: `(inputs, targets)` or `(inputs, targets, sample_weight)`, as for `fit`.
            vector: v, `[n]`, in the order of `trainable_variables`; see `linalg.flatten`.

        Returns:
            `[n]`, in the dtype of the weights; `linalg.unflatten` gives it the shapes of the variables.

        Raises:
            ValueError: the model is not compiled, or `vector` is not of shape `[n]`.

        Example:
            >>> import tensorflow as tf, tfplastic as tp
            >>> model = tp.training.PlasticModel(tp.networks.mlp(1, (), input_shape=(2,)))
            >>> model.compile('sgd', 'mse')  # L = (w1 + w2 + b)^2 for an input of ones and a target of zero
            >>> batch = tf.ones([1, 2]), tf.zeros([1, 1])
            >>> model.hessian_vector_product(batch, [1., 0., 0.]).numpy().tolist()
            [2.0, 2.0, 2.0]
        """
        check_batch("batch", batch)
        return self._compiled_training().hessian(keras.utils.unpack_x_y_sample_weight(batch)).matvec(vector)

    @property
    def gradient_steps(self) -> int:
        """Gradient steps done since `compile`, on which mitigations' periods count."""
        return int(tf.convert_to_tensor(self._compiled_training().step))

    def reset_metrics(self) -> None:
        super().reset_metrics()
        if self._training is not None:
            self._training.means.reset()

    def get_config(self) -> dict[str, Any]:
        network = keras.layers.serialize(self.network)
        return {"name": self.name, "trainable": self.trainable, "network": network}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "PlasticModel":
        """Returns the model of a config; compile it again."""
        network = keras.layers.deserialize(config["network"], custom_objects=custom_objects)
        return cls(**{**config, "network": network})

    def get_compile_config(self) -> None:
        """Returns None: the arguments of `compile` are not saved with the model."""

    @property
    def _mitigations(self) -> Sequence[Mitigation]:
        return () if self._training is None else self._training.mitigations

    def _loss_container(self) -> Any:
        return self.compiled_loss if is_legacy() else self._compile_loss

    def _compiled_training(self) -> "_Training":
        if self._training is None:
            raise ValueError(f"The model must be compiled before it is trained. Received: {self.name!r}")
        return self._training


def _as_batch(data: Any) -> Any:
    """Converts arrays to the form of the batches of a gradient step; None for None."""
    if data is None:
        return None
    check_batch("data", data)
    parts = keras.utils.unpack_x_y_sample_weight(data)
    return tf.nest.map_structure(lambda each: None if each is None else tf.convert_to_tensor(each), parts)


def _check_strategy(
    strategy: tf.distribute.Strategy, statistics: Any, mitigations: Sequence[Mitigation], jit_compile: bool
) -> None:
    """Refuses settings that replicas, which are traced in turns, do not support."""
    if strategy.num_replicas_in_sync == 1:
        return
    rule = "under a `tf.distribute` strategy of several replicas"
    if statistics:
        names = ", ".join(statistics)
        action = "Use layers.ActivationMonitor, which reads all replicas."
        raise ValueError(f"`step_statistics` must be empty {rule}. Received: {names}. {action}")
    reading = [type(each).__name__ for each in mitigations if each.reads or each.history]
    if reading:
        action = "Train on one device."
        received = f"{reading[0]}, which reads the step's context"
        raise ValueError(f"`mitigations` must read no context {rule}. Received: {received}. {action}")
    if jit_compile:
        raise ValueError(f"`jit_compile` must be False {rule}. Received: True. Leave it out.")


class _Training:
    """All that `compile` makes; a plain object, so that Keras takes nothing in it for the model's own."""

    def __init__(
        self,
        network: keras.Model,
        optimizer: Any,
        loss: CompiledLoss,
        mitigations: Sequence[Mitigation],
        statistics: Mapping[str, Callable[..., Any]],
        supply: ArraySupply,
        seed: int,
        jit_compile: bool,
    ):
        build_all(mitigations, network, optimizer, seed)
        self.loss, self.mitigations = loss, mitigations
        self.means = _Means()
        self.step = tf.Variable(
            0, trainable=False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        self._network = network
        self._noted = NotedBatch(loss)
        task = loss if jit_compile else self._noted
        self._gradient_step = GradientStep(task, network, optimizer, mitigations, statistics, supply)
        self._after_updates = AfterUpdates(
            mitigations, network, optimizer, seed, None, False, gradient_step=self._gradient_step
        )
        self._hessians: dict[Any, tuple[Any, HessianOperator]] = {}

    def take(self, *batch: Any) -> dict[str, tf.Tensor]:
        """Takes one gradient step with the mitigations after it; returns its metrics."""
        self.loss.begin_step()
        with tf.control_dependencies([self.step.assign_add(1)]):  # before a loss that is not finite
            number = tf.convert_to_tensor(self.step) if self._gradient_step.reads_step else None
            output = self._gradient_step(batch, number, batch)
        moment = Moment(output.parts, batch)
        once_for_all_replicas(
            lambda: self._after_updates.act_in_program(tf.convert_to_tensor(self.step), moment)
        )
        return {"loss": output.loss, **output.metrics}

    def cause(self) -> str:
        """Returns the rest of the error: the quantity and layer first not finite, and the remedy."""
        action = "Look at the batch or lower the learning rate, and compile and fit again"
        try:
            examination = Examination(self._gradient_step, {"model": self._network})
            found = examination.of_weights()
            if not found and self._noted.batch is not None:
                found = examination.of_step(self._noted.batch, is_advanced=True)
        except Exception as error:  # The failure itself is to be told, whatever this is.
            return f"; where it began cannot be found ({one_line(error)}). {action}"
        return f"; the first was {found}. {action}" if found else f". {action}"

    def hessian(self, batch: Any) -> HessianOperator:
        """Returns the gradient of the loss on a batch, one for each shape, with a slot for the batch."""
        flat = [each if each is None else tf.convert_to_tensor(each) for each in tf.nest.flatten(batch)]
        key = tuple(each if each is None else (each.dtype.name, *each.shape) for each in flat)
        if key not in self._hessians:
            places = [each if each is None else tf.Variable(each, trainable=False) for each in flat]

            def loss_fn() -> tf.Tensor:
                values = [each if each is None else tf.convert_to_tensor(each) for each in places]
                return self.loss.loss(self._network, tf.nest.pack_sequence_as(batch, values)).loss

            self._hessians[key] = places, HessianOperator(loss_fn, self._network.trainable_variables)
        places, operator = self._hessians[key]
        for place, value in zip(places, flat, strict=True):
            if place is not None:
                place.assign(value)
        return operator


class _Means:
    """Means of the steps' metrics since the last reset, each step weighted by its examples."""

    def __init__(self) -> None:
        self._means: dict[str, keras.metrics.Mean] = {}

    def update(self, values: Mapping[str, tf.Tensor], num_examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the means with `values`; traceable."""
        for name, value in values.items():
            if name not in self._means:
                with tf.init_scope():  # variables are made once, outside of the program that is being traced
                    self._means[name] = keras.metrics.Mean(name=name.replace("/", "_"))
            self._means[name].update_state(value, sample_weight=num_examples)
        return {name: mean.result() for name, mean in self._means.items()}

    def reset(self) -> None:
        for mean in self._means.values():
            mean.reset_state()


def _check_optimizer_name(optimizer: Any) -> None:
    if isinstance(optimizer, str):
        try:
            keras.optimizers.get(optimizer)
        except ValueError:
            near = near_matches(optimizer, _OPTIMIZERS)
            rule = "must be an optimizer or the name of one of Keras"
            raise ValueError(f"`optimizer` {rule}. Received: {optimizer!r}{near and '.'}{near}") from None
    elif not hasattr(optimizer, "apply_gradients") or isinstance(optimizer, type):
        rule = "must be an optimizer or the name of one of Keras"
        raise TypeError(f"`optimizer` {rule}. Received: {shown(optimizer)}")
