"""A model evaluated on a fixed batch, the input of all diagnostics."""

import contextlib
import operator
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import tensorflow as tf

from tfplastic import _checks
from tfplastic._data.blocks import check_length, concatenated, length_of
from tfplastic._data.examples import as_tensors, examples
from tfplastic._data.numbers import check_inputs, check_not_text
from tfplastic._losses.chosen_losses import chosen_losses
from tfplastic._losses.example_losses import Losses
from tfplastic._losses.example_weights import weights_of_classes
from tfplastic._losses.model_loss import FlatLoss, call_of, check_model, packed
from tfplastic.diagnostics.declaration.quantity import Need
from tfplastic.diagnostics.reading import forward_pass, model_layers
from tfplastic.diagnostics.reading.block_programs import BlockPrograms, differentiated, state_of_model
from tfplastic.diagnostics.units import unit_statistics
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics
from tfplastic.linalg import HessianOperator, Operator
from tfplastic.optimizers.any_keras import is_optimizer

Value = TypeVar("Value")

_NEEDS: dict[Need, str] = {
    "loss": "`loss` or `example_losses` must be given for quantities of the loss",
    "optimizer": "`optimizer` must be given for quantities of the next update",
    "reference": "`reference` must be given for quantities of change",
}


class Snapshot:
    """A model on one fixed batch: activations, unit statistics, weights, loss, gradients, Hessian, lazily.

    It only reads: variables, optimizer slots, BatchNorm's statistics and random states stay bit-identical,
    and a function that would change them is refused. Each value is made when first asked for and kept until
    `refresh`; compiled programs are kept for good, so that one snapshot serves a whole run. Dtypes are those
    the model computes in.

    Args:
        model: a Keras model, of Keras 2 or Keras 3, built. It is called with `training=False` where it takes
            that.
        inputs: a batch of its inputs, `[n, ...]`, n at least 1: an array, a tensor, a frame of pandas or a
            nest of them. Or a stream of batches: a `tf.data.Dataset`, a Keras `PyDataset` or `Sequence`, a
            generator or another iterable, whose elements are inputs, (inputs, targets) or (inputs, targets,
            sample weights). Its first 512 examples are taken, once, also if it never ends.
        targets: arguments of the loss besides the outputs, `[n, ...]`: an array, a tensor or a nest of them.
            Next to a longer stream of inputs, their first examples are taken as well.
        loss: None: of a compiled model exactly the loss that `train_on_batch` minimizes on the batch, with
            reduction, `loss_weights`, masks and `model.losses` (with the reduction 'none' the sum, of which
            Keras reports the mean). Or a function of targets and outputs that
            returns the mean loss of a batch, `[]`, or the losses of
            its examples, `[n]` (or `[n, ...]`, an example's loss being their mean); a Keras loss of either
            Keras, its name, or a nest of them for several outputs, with its own reduction. Of a function
            that returns the mean an example's loss is taken to be its value
            on a batch of that one. Without targets it takes None for them.
        example_losses: function of `targets`, instead of `loss`, that returns the losses of the examples,
            `[n]`, and calls the model itself, with `training=False`; for losses that take more than
            one call, such as that of temporal differences. It is given blocks of `targets`.
        optimizer: the model's Keras optimizer, for quantities of its next update.
        reference: earlier state that quantities of change compare with.
        layers: layers to measure: a function of a layer, a class or its name, or a list of the layers'
            names. Weights, gradients and the Hessian are those of these layers as well. None: all.
        batch_size: most examples to take at a time; a smaller last block counts by its examples.
        sample_weight: weights of the examples, as in `fit`, `[n]` or `[n, ...]`, or a nest of them for
            several outputs.
        class_weight: {class: weight} of one output, as in `fit`.
        include_model_losses: whether `model.losses` (regularizers, `add_loss`) are added to a `loss` that is
            given; they always belong to a compiled one.
        max_examples: most examples to take, the first ones; None: of a stream 512, of arrays all.

    Attributes:
        model: the given model.
        inputs: the given inputs, as tensors.
        targets: the given targets, as tensors; None without.
        num_examples: n.
        batch_size: the given size.
        data_note: a line on how many examples of a stream were taken; empty where all are there.
        optimizer: the given optimizer.
        reference: the given reference.

    Raises:
        TypeError: `model` is not a Keras model or layer, or a loss is not callable.
        ValueError: `model` is not built, `inputs` is empty, arguments do not go together, or `layers` fits
            none; on use, a model or a loss that writes variables or draws random numbers, or a loss that is
            no loss of the examples.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([
        ...     tf.keras.layers.Dense(2, activation='tanh', kernel_initializer='zeros', name='hidden'),
        ...     tf.keras.layers.Dense(1, name='output'),
        ... ])
        >>> inputs = tf.ones([3, 4])
        >>> _ = model(inputs)  # builds it
        >>> snapshot = diagnostics.Snapshot(model, inputs, targets=tf.zeros([3, 1]), loss='mse')
        >>> {name: value.shape.as_list() for name, value in snapshot.activations.items()}
        {'hidden': [3, 2]}
        >>> snapshot.unit_statistics['hidden'].mean_abs.tolist()
        [0.0, 0.0]
        >>> list(snapshot.gradients), float(snapshot.loss)
        (['hidden', 'output'], 0.0)
    """

    def __init__(
        self,
        model: Any,
        inputs: Any,
        targets: Any = None,
        loss: Any = None,
        *,
        example_losses: Callable[[Any], Any] | None = None,
        optimizer: Any = None,
        reference: Any = None,
        layers: Any = None,
        batch_size: int = 512,
        sample_weight: Any = None,
        class_weight: Mapping[int, float] | None = None,
        include_model_losses: bool = False,
        max_examples: int | None = None,
    ):
        check_model(model)
        self.model = model
        found = examples("inputs", inputs, targets, sample_weight, max_examples)
        self.inputs, self.targets, self.data_note = found.inputs, found.targets, found.note
        self.num_examples = length_of(self.inputs)
        check_inputs(model, self.inputs)
        check_not_text("targets", self.targets)
        check_length("targets", self.targets, self.num_examples)
        weights = weights_of_classes(class_weight, found.sample_weight, self.targets)
        self.sample_weight = None if weights is None else as_tensors("sample_weight", weights)
        check_length("sample_weight", self.sample_weight, self.num_examples)
        if optimizer is not None and not is_optimizer(optimizer):
            rule = "must be the optimizer that trains the model, such as model.optimizer"
            raise TypeError(f"`optimizer` {rule}. Received: {_checks.shown(optimizer)}")
        if reference is not None and not hasattr(reference, "statistics_like"):
            rule = "must be a Reference, such as Reference.of(snapshot)"
            raise TypeError(f"`reference` {rule}. Received: {_checks.shown(reference)}")
        self.optimizer = optimizer
        self.reference: Any = reference
        self.batch_size = _checks.check_positive_integer("batch_size", batch_size)
        self._include_model_losses = _checks.check_boolean("include_model_losses", include_model_losses)
        self._given = loss, example_losses, layers
        self._bind()

    def _bind(self) -> None:
        """Takes the model as it is now: its layers, which of their variables are trained, its loss."""
        self._fingerprint = state_of_model(self.model)
        loss, example_losses, layers = self._given
        self._programs = programs = BlockPrograms(self.examples, self.num_examples, self.batch_size)
        self._losses = chosen_losses(
            self.model,
            loss,
            example_losses,
            self.targets,
            self._include_model_losses,
            self.call,
            self.num_examples,
            lambda: (block for block, _ in programs.blocks(self.examples)),
        )
        self._layers = model_layers.named_layers(self.model)
        self._chosen = model_layers.chosen_layers(self._layers, layers)
        weights = model_layers.layer_weights(self._layers)
        self._weights = {name: variables for name, variables in weights.items() if name in self._chosen}
        self._forward_pass: forward_pass.ForwardPass | None = None
        self._hessian: HessianOperator | None = None
        self._block_hessians: dict[str, Operator] = {}
        self._values: dict[Hashable, Any] = {}

    def refresh(self) -> bool:
        """Forgets the values, after the weights have changed.

        Compiled programs stay, unless layers were replaced, other variables are trained or the model was
        compiled again since: then all is made again of the model as it is.

        Returns:
            Whether it was made again.
        """
        now = state_of_model(self.model)
        is_same = len(now) == len(self._fingerprint) and all(map(operator.is_, now, self._fingerprint))
        if is_same:
            self._values.clear()
        else:
            self._bind()
        return not is_same

    def memoize(self, key: Hashable, make: Callable[[], Value], survives_refresh: bool = False) -> Value:
        """Returns the value of `make`, called once for all quantities that ask by the same key.

        Args:
            key: a name that no other value has, such as ('my_quantity', num_examples).
            make: a function without arguments. It may read everything of the snapshot.
            survives_refresh: whether the value stays valid when the weights change, as a compiled program
                does that reads them when it runs. Otherwise `refresh` forgets it.

        Example:
            >>> import tensorflow as tf
            >>> from tfplastic import diagnostics
            >>> model = tf.keras.Sequential([tf.keras.layers.Dense(2, use_bias=False)])
            >>> _ = model(tf.ones([1, 3]))  # builds it
            >>> diagnostics.Snapshot(model, tf.ones([1, 3])).memoize('weights', lambda: len(model.weights))
            1
        """
        store = self._programs.kept if survives_refresh else self._values
        if (memo := ("memo", key)) not in store:
            store[memo] = make()
        return store[memo]

    @contextlib.contextmanager
    def fresh_values(self) -> Iterator[None]:
        """Sets all values aside while it is open, for code that changes the weights and restores them."""
        values = dict(self._values)
        self._values.clear()
        try:
            yield
        finally:
            self._values.clear()
            self._values.update(values)

    def require(self, need: Need) -> None:
        """Raises `ValueError` if an argument is missing that a quantity needs.

        Args:
            need: 'loss', 'optimizer' or 'reference'.
        """
        given = {"loss": self._losses, "optimizer": self.optimizer, "reference": self.reference}
        if given[_checks.check_one_of("need", need, tuple(given))] is None:
            raise ValueError(f"{_NEEDS[need]}. Received: None")

    @property
    def activations(self) -> dict[str, tf.Tensor]:
        """Outputs of the hidden nonlinearities, in call order: {layer name: `[n, ..., units]`}.

        Outputs of activation layers, and of the `activation` of layers where it is not linear, whatever else
        these do after it; the model's own outputs are left out. The second call of a shared layer, or of one
        layer's activation, is 'name:1'. `unmeasured` names the missing ones. Positions that `masks` leave out
        are there as well.
        """
        return self._joined("activations")

    @property
    def pre_activations(self) -> dict[str, tf.Tensor]:
        """Returns the inputs of the nonlinearities in `activations`, in the same form.

        Without those where it is unknown: recurrent layers.
        """
        return self._joined("pre_activations")

    @property
    def masks(self) -> dict[str, tf.Tensor]:
        """Which entries of `activations` count, {layer name: `[n, positions] bool`}, over their first axes.

        Without layers all of whose positions count. A mask is the one that Keras gave a tensor, or the mask
        of tensors that it is made of position by position, such as a residual sum, at which Keras itself
        loses masks.
        """
        return {name: mask for name, mask in self.feature_masks.items() if name in self._forward().functions}

    @property
    def feature_masks(self) -> dict[str, tf.Tensor]:
        """Returns `masks`, of `linear_outputs` as well."""
        return self._joined("masks") if self._forward().masked else {}

    @property
    def output_masks(self) -> list[tf.Tensor | None]:
        """Returns the mask of each of the flat `outputs`, or None; see `masks`."""
        masks = self._joined("output_masks") if self._forward().has_output_masks else {}
        return [masks.get(str(number)) for number in range(len(tf.nest.flatten(self.outputs)))]

    @property
    def linear_outputs(self) -> dict[str, tf.Tensor]:
        """Outputs of layers that no nonlinearity follows, {layer name: `[n, ..., units]`}.

        Such as those of bottlenecks, embeddings and attention. With `layers`, of all of these that are not
        among `activations`. By default of hidden layers with weights and at most 4,096 entries for an
        example, unless another layer alone takes them (a normalization, or a nonlinearity, whose outputs then
        count); and the last hidden representation, which is 'head:input' where it is not the output of a
        layer that is measured, but say a pool's, and 'head' the output layer. `left_out` has the others.
        """
        return self._joined("linear_outputs")

    @property
    def features(self) -> dict[str, tf.Tensor]:
        """The last of `activations`, which the model's head works on: {layer name: `[n, ..., units]`}.

        Empty where there is none.
        """
        if "activations" not in self._values:
            return self._joined("features")
        return dict(list(self._values["activations"].items())[-1:])

    @property
    def outputs(self) -> Any:
        """Returns the outputs of the model, a nest of tensors `[n, ...]`.

        Raises:
            ValueError: it returns something that is not a tensor, such as a distribution.
        """
        if not self._forward().outputs_are_tensors:
            raise ValueError("`model` must return tensors for its `outputs`. Received: other things")
        return self._joined("outputs")

    @property
    def unit_statistics(self) -> dict[str, UnitStatistics]:
        """Statistics of each unit of `activations` and `pre_activations`, {layer name: `UnitStatistics`}.

        Of the positions that `masks` leave. Made in one pass, block by block, of which only the statistics
        are kept.
        """
        if "unit_statistics" not in self._values:
            self._values["unit_statistics"] = self._statistics_of(self._run([], unit_statistics.ARRAYS))
        return self._values["unit_statistics"]

    def statistics_with(self, arrays: Collection[str]) -> dict[str, UnitStatistics]:
        """Returns `unit_statistics` with these arrays; others may be None, where `prepare` has left them out.

        Args:
            arrays: names of arrays of `UnitStatistics`.
        """
        names, prepared = self._values.get("prepared_statistics", ((), {}))
        return prepared if set(arrays).issubset(names) else self.unit_statistics

    def prepare(self, parts: Collection[str]) -> None:
        """Computes in one pass several parts that would take one pass each.

        Args:
            parts: parts to compute, of `'activations'`, `'pre_activations'`, `'linear_outputs'`,
                `'gradients'` (none without a loss) and the names of arrays of `UnitStatistics`, of which
                `statistics_with` then has no others. Existing parts stay as they are.

        Raises:
            ValueError: see the properties of the parts.
        """
        wholes = [part for part in ("activations", "pre_activations", "linear_outputs") if part in parts]
        wholes = [part for part in wholes if part not in self._values]
        if wholes and self._forward().masked and "masks" not in self._values:
            wholes.append("masks")
        arrays = [name for name in unit_statistics.ARRAYS if name in parts]
        if not {"unit_statistics", "prepared_statistics"}.isdisjoint(self._values):
            arrays = []
        if not wholes and not arrays:
            return
        if "gradients" in parts and "gradients" not in self._values and self._losses is not None:
            blocks, means = self._programs.forward_with_gradients(
                self._forward(), self._losses, self._weights, wholes, arrays
            )
            self._values |= means
        else:
            blocks = self._run(wholes, arrays)
        self._values |= {part: concatenated([block[part] for block, _ in blocks]) for part in wholes}
        if arrays:
            self._values["prepared_statistics"] = arrays, self._statistics_of(blocks)

    @property
    def unmeasured(self) -> dict[str, str]:
        """Where hidden nonlinearities are of which nothing can be known, and why: {layer name: reason}.

        For a bare function, such as `tf.nn.relu(self.dense(x))`, the name is that of the layer with weights
        whose output it works on. Layers that the model calls in a loop, a branch or a `tf.function` of its
        own are unmeasured, too. Bare functions are recognized by their operations: ReLU and its kin, tanh,
        sigmoid, softplus, erf, max(x, 0).
        """
        return self._forward().unmeasured

    def left_out(self, units: bool = True, features: bool = True) -> dict[str, str]:
        """Returns the layers with weights that have no units or no features, {layer name: reason}.

        Args:
            units: whether to tell of units, which can be dead or saturated: of `activations`.
            features: whether to tell of features, which have a rank: of `activations` and `linear_outputs`.
        """
        return self._forward().linear.explained(self._layers, units, features)

    @property
    def weights(self) -> dict[str, list[tf.Variable]]:
        """The trainable variables of each layer that has some of its own: {layer name: [variable, ...]}."""
        return self._weights

    @property
    def examples(self) -> tuple[Any, ...]:
        """(inputs, targets), which `losses_of` takes blocks of; () for targets where there are none.

        With sample weights a third entry holds these.
        """
        return packed(self.inputs, self.targets, self.sample_weight)

    def loss_of(self, examples: tuple[Any, ...], of: int | None = None) -> tf.Tensor:
        """Returns the mean of L_i over a block, `[]`; traceable. See `Losses.mean`."""
        return self._require_losses().mean(examples, of)

    @property
    def note(self) -> str:
        """Returns a line on terms that the given loss leaves out; empty without any or before measuring."""
        return "" if self._losses is None else self._losses.note

    def losses_of(self, examples: tuple[Any, ...]) -> tf.Tensor:
        """Returns the losses L_i of a block of examples, `[b]`; traceable, differentiable in the weights.

        The loss is the mean of L_i over all examples: of a loss that is summed over the batch, L_i is n times
        an example's term. Losses of the model (regularizers) enter each L_i as in a batch of that example.

        Args:
            examples: b of `examples`, in the same nest: `[b, ...]`.

        Raises:
            ValueError: the snapshot has no loss.
        """
        return self._require_losses().of_examples(examples)

    @property
    def loss(self) -> tf.Tensor:
        """The loss of the whole batch, `[]`: the mean of the examples' losses."""
        return self._of_losses("loss", lambda examples: self.loss_of(examples))

    @property
    def gradients(self) -> dict[str, list[tf.Tensor]]:
        """The gradient of the loss, in the form of `weights`; zeros where it does not touch a variable."""
        return self._of_losses(
            "gradients", lambda examples: differentiated(self._require_losses(), self._weights, examples)[0]
        )

    @property
    def hessian(self) -> HessianOperator:
        """The Hessian of the loss over all of `weights`, layer after layer. Needs no `refresh`."""
        if self._hessian is None:
            self._hessian = self._make_hessian()
        return self._hessian

    def block_hessian(self, layer: str) -> Operator:
        """Returns the Hessian over the weights of one layer, the others being constants. Needs no `refresh`.

        Args:
            layer: one of the names in `weights`.

        Raises:
            ValueError: there is no such layer, or the snapshot has no loss.
        """
        _checks.check_one_of("layer", layer, self._weights)
        if layer not in self._block_hessians:
            names = [name for name, variables in self._weights.items() for _ in variables]
            positions = [position for position, name in enumerate(names) if name == layer]
            self._block_hessians[layer] = self.hessian.restricted(positions)
        return self._block_hessians[layer]

    def _make_hessian(self) -> HessianOperator:
        losses = self._require_losses()
        # Refuses an unfit loss under its own name.
        self._programs.of_losses("loss", losses, lambda examples: losses.mean(examples))
        loss = FlatLoss(losses, self.examples)
        size = None if self.num_examples <= self.batch_size else self.batch_size
        variables = [variable for layer in self._weights.values() for variable in layer]
        operator = HessianOperator(loss.mean, variables, loss.data, batch_size=size)
        operator.basis_memory.is_kept = False  # between measurements it belongs to training
        return operator

    def call(self, inputs: Any) -> Any:
        """Returns the model's outputs for other inputs, in the form of `outputs`; traceable, differentiable.

        Args:
            inputs: a batch of any size, in the form of `inputs`.
        """
        return call_of(self.model)(inputs)

    def _forward(self) -> forward_pass.ForwardPass:
        if self._forward_pass is None:
            signature = self._programs.signature(self.inputs)
            self._forward_pass = forward_pass.ForwardPass(
                self.call, self._layers, self._chosen, signature, self._given[2] is not None
            )
        return self._forward_pass

    def _run(self, wholes: Sequence[str], arrays: Sequence[str] = ()) -> list[tuple[Any, int]]:
        """Returns `forward_pass.selected` of each block, and the number of its examples."""
        return self._programs.forward(self._forward(), wholes, arrays)

    def _statistics_of(self, blocks: Sequence[tuple[Any, int]]) -> dict[str, UnitStatistics]:
        return {
            name: unit_statistics.of_blocks(function, [block["statistics"][name] for block, _ in blocks])
            for name, function in self._forward().functions.items()
        }

    def _joined(self, part: str) -> Any:
        if part not in self._values:
            self._values[part] = concatenated([block[part] for block, _ in self._run([part])])
        return self._values[part]

    def _of_losses(self, part: str, function: Callable[[Any], Any]) -> Any:
        if part not in self._values:
            self._values[part] = self._programs.mean(part, self._require_losses(), function)
        return self._values[part]

    def _require_losses(self) -> Losses:
        if self._losses is None:
            raise ValueError(f"{_NEEDS['loss']}. Received: None")
        return self._losses
