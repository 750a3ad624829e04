"""A Keras file as the subject of a diagnosis."""

import importlib
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

import tfplastic.layers  # noqa: F401 (registers what a model may be made of)
import tfplastic.optimizers  # noqa: F401 (registers what it may be trained by)
from tfplastic._text.lines import one_line
from tfplastic._text.near_names import near_matches
from tfplastic.command_line.diagnose.keras_files import compiled_loss
from tfplastic.command_line.diagnose.keras_files.allow_list import AllowList
from tfplastic.command_line.diagnose.keras_files.named_loss import NamedLoss, check_labels, shape_text
from tfplastic.command_line.diagnose.keras_files.saved_model import SavedModel
from tfplastic.configuration.errors import UsageError

_IN_PYTHON = "docs/curvature.md shows how to continue in Python"
_LONGEST_CAUSE = 240  # characters of what Keras says, which may be pages


class KerasFile:
    """The model in a file of Keras.

    Args:
        saved: the file, read as data.
        trust: whether to load everything that it names, which may run any command.
        trusted: modules of the user's that the file may name.

    Attributes:
        keras: the module of that version.
        model: the model, with trainable weights.
        name: name of the file.

    Raises:
        UsageError: the file names something that is not allowed, the model cannot be loaded, or it has no
            trainable weights.
    """

    def __init__(self, saved: SavedModel, trust: bool, trusted: Sequence[str]):
        path = saved.path
        self.keras: Any = importlib.import_module("tf_keras" if saved.version.startswith("2.") else "keras")
        self.name = pathlib.Path(path).name
        self._path, self._compiled = path, saved.compiled
        allow_list = AllowList(self.keras, trusted)
        refused = "" if trust else allow_list.first_refused(saved.config)
        if refused:
            raise UsageError(f"--model: refused {path!r}: {refused}")
        try:
            self.model: Any = self.keras.models.load_model(path, compile=False, safe_mode=not trust)
        except Exception as error:  # whatever the layers' classes raise
            raise UsageError(f"--model: cannot load {path!r}: {_cause(error)} ({_IN_PYTHON})") from error
        if not self.model.trainable_variables:
            raise UsageError(f"--model must have trainable weights. Received: {path!r}, which has none")

    def checked_inputs(self, inputs: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the inputs in the model's dtype, and its outputs for the first `batch_size` of them.

        Raises:
            UsageError: the model does not take them, or has several inputs or outputs.
        """
        taken = getattr(self.model, "inputs", None) or []
        if len(taken) > 1:
            raise UsageError(_one_expected(f"one with {len(taken)} inputs"))
        try:
            inputs = tf.cast(inputs, taken[0].dtype if taken else inputs.dtype).numpy()
            outputs = self._predict(inputs[:batch_size])
        except Exception as error:  # whatever the layers' classes raise
            takes = f" of shape {shape_text(taken[0].shape[1:])}" if taken else ""
            rule = f"must hold inputs{takes} that the model takes"
            received = f"{shape_text(inputs.shape[1:])}: {_cause(error)}"
            raise UsageError(f"--data {rule}. Received: inputs of shape {received}") from error
        if isinstance(outputs, (list, tuple, dict)):
            raise UsageError(_one_expected(f"one with {len(outputs)} outputs"))
        return inputs, np.asarray(outputs)

    def fitted(
        self, inputs: np.ndarray, targets: np.ndarray, loss: str, from_logits: bool, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray, Callable[[Any, Any], Any]]:
        """Returns inputs, targets and a loss that go with the model and with each other.

        Args:
            inputs: `[examples, ...]`.
            targets: `[examples, ...]`.
            loss: name of a Keras loss.
            from_logits: whether the model's outputs are logits.
            batch_size: examples to check this on.

        Returns:
            The inputs in the model's dtype; the targets in the shape of its outputs; and the loss, a function
            of targets and outputs that gives the losses of the examples.

        Raises:
            UsageError: the model does not take the inputs, or has several inputs or outputs; or there is no
                such loss, or it does not take the targets and outputs.
        """
        named_loss = NamedLoss(self.keras, loss, from_logits)
        inputs, outputs = self.checked_inputs(inputs, batch_size)
        targets = named_loss.fit_targets(targets, _with_units(outputs))
        return inputs, targets, lambda targets, outputs: named_loss(targets, _with_units(outputs))

    def compiled(
        self, inputs: np.ndarray, targets: np.ndarray, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compiles the model with the loss that the file names; inputs and targets that go with it.

        Args:
            inputs: `[examples, ...]`.
            targets: `[examples, ...]`.
            batch_size: examples to check this on.

        Raises:
            UsageError: the loss cannot be made, or does not take the targets and outputs.
        """
        inputs, outputs = self.checked_inputs(inputs, batch_size)
        compiled_loss.compile_with(self.keras, self.model, self._compiled, self._path)
        if compiled_loss.takes_labels(self._compiled["loss"]):
            check_labels(targets, outputs.shape[-1], "the compiled loss")
        try:
            self.model.test_on_batch(inputs[:batch_size], targets[:batch_size])
        except Exception as error:  # whatever the losses raise
            rule = "must have targets y that the compiled loss takes (--loss takes another)"
            received = f"y of shape {shape_text(targets.shape[1:])}: {_cause(error)}"
            raise UsageError(f"--data {rule}. Received: {received}") from error
        return inputs, targets

    def optimizer(self, name: str | None, saved: dict[str, Any] | None, learning_rate: float | None) -> Any:
        """Returns a new optimizer of the file's Keras.

        Args:
            name: name of a Keras optimizer; None for `saved`.
            saved: the settings of the one that the model was compiled with.
            learning_rate: learning rate in place of its own.

        Raises:
            UsageError: there is no such optimizer (names near matches), or it cannot be made from `saved`.
        """
        optimizers = self.keras.optimizers
        try:
            found = optimizers.deserialize(saved) if name is None else optimizers.get(name)
        except Exception as error:  # whatever the classes of settings raise
            if name is None:
                text = f"cannot make the optimizer that {self.name!r} was compiled with: {_cause(error)}"
                raise UsageError(f"--model: {text} (--optimizer takes another)") from error
            names = [each.lower() for each in dir(optimizers) if isinstance(getattr(optimizers, each), type)]
            rule = "must be the name of a Keras optimizer"
            near = near_matches(name, sorted({*names} - {"optimizer"}))
            raise UsageError(f"--optimizer {rule}. Received: {name!r}.{near}") from error
        if learning_rate is None:
            return found
        return type(found).from_config({**found.get_config(), "learning_rate": learning_rate})

    def mean_loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """Returns the mean of `loss` over a batch, as a function of inputs and targets; traceable."""
        return lambda inputs, targets: tf.reduce_mean(loss(targets, self._predict(inputs)))

    def _predict(self, inputs: Any) -> Any:
        taken = getattr(self.model, "inputs", None)
        return self.model(tf.cast(inputs, taken[0].dtype) if taken else inputs, training=False)


def _with_units(outputs: Any) -> Any:
    """Adds a second axis to `[batch]`, of which a loss would be the mean over the batch."""
    return outputs[:, None] if len(outputs.shape) == 1 else outputs


def _one_expected(received: str) -> str:
    return f"--model must have one input and one output. Received: {received} ({_IN_PYTHON})"


def _cause(error: Exception) -> str:
    text = one_line(error)
    return text if len(text) <= _LONGEST_CAUSE else f"{text[: _LONGEST_CAUSE - 3]}..."
