"""The arguments of the operators' `from_model`, described once."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfplastic._checks import check_boolean
from tfplastic._losses.model_loss import ModelData


@dataclasses.dataclass(frozen=True)
class ModelArguments:
    """A Keras model, data, and the loss of the data.

    Attributes:
        model: a Keras model, of Keras 2 or Keras 3, built. It is called with `training=False`.
        inputs: arrays `[n, ...]`, or a nest of them; or a `tf.data.Dataset` or Keras `PyDataset` that
            ends, of inputs, (inputs, targets) or (inputs, targets, sample weights), all of which is read.
        targets: arrays `[n, ...]`, or a nest of them.
        loss: None: exactly the loss that `train_on_batch` minimizes on all of the data as one batch, with
            reduction, `loss_weights`, masks and `model.losses`. Or, as for `diagnostics.Snapshot`, a
            Keras loss, its name, a nest of them, or a function of targets and outputs: that alone.
        variables: theta; None: the trainable variables of the model.
        sample_weight: weights of the examples, as in `fit`.
        class_weight: {class: weight}, as in `fit`.
        include_model_losses: whether regularizers and `add_loss` are added to a `loss` that is given.
        batch_size: most examples to take at a time; None: all. It does not change the loss.
    """

    model: Any
    inputs: Any
    targets: Any = None
    loss: Any = None
    _: dataclasses.KW_ONLY
    variables: Sequence[Any] | None = None
    sample_weight: Any = None
    class_weight: Mapping[int, float] | None = None
    include_model_losses: bool = False
    batch_size: int | None = None

    def data(self) -> ModelData:
        """Returns the model with its data, checked."""
        check_boolean("include_model_losses", self.include_model_losses)
        return ModelData(
            self.model, self.inputs, self.targets, self.sample_weight, self.class_weight, self.batch_size
        )
