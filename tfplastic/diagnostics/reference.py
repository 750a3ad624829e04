"""A model's earlier state, for quantities of change."""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._checks import shown
from tfplastic._text.short_repr import ShortRepr
from tfplastic.diagnostics.snapshot import Snapshot
from tfplastic.diagnostics.units.unit_statistics import UnitStatistics
from tfplastic.run_format import ARRAY_FILE_ERRORS
from tfplastic.writers import atomic_file

_WEIGHTS, _STATISTICS, _OUTPUTS = "weights", "unit_statistics", "outputs"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Reference(ShortRepr):
    """The weights, unit statistics and outputs of a model at one time, such as at its initialization.

    Attributes:
        weights: {layer name: [values of each variable]}, in the form of `Snapshot.weights`.
        unit_statistics: {layer name: statistics}, as `Snapshot.unit_statistics`.
        outputs: the model's outputs on the snapshot's inputs, `[n, ...]`, as a flat tuple.

    Arrays are of NumPy's floats; bfloat16, which NumPy lacks, is kept as float32.

    Example:
        >>> import numpy as np, tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> model = tf.keras.Sequential([tf.keras.layers.Dense(1, kernel_initializer='ones', name='dense')])
        >>> inputs = tf.ones([4, 1])
        >>> _ = model(inputs)  # builds it
        >>> initial = diagnostics.Reference.of(diagnostics.Snapshot(model, inputs))
        >>> model.set_weights([np.array([[4.0]]), np.array([4.0])])
        >>> diagnostics.distance_from_init(diagnostics.Snapshot(model, inputs, reference=initial))
        {'dense': 5.0, 'all': 5.0}
    """

    weights: Mapping[str, Sequence[np.ndarray]]
    unit_statistics: Mapping[str, UnitStatistics]
    outputs: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Reference":
        """Copies the state that `snapshot` reads; one forward pass.

        Args:
            snapshot: snapshot of the model; needs no loss. The reference lacks the layers that it leaves out.
        """
        if not hasattr(snapshot, "unit_statistics"):
            raise TypeError(f"`snapshot` must be a Snapshot of a model. Received: {shown(snapshot)}")
        return cls(
            {layer: [_copy(each) for each in weights] for layer, weights in snapshot.weights.items()},
            dict(snapshot.unit_statistics),
            tuple(_copy(each) for each in tf.nest.flatten(snapshot.outputs)),
        )

    def save(self, path: str | pathlib.Path) -> None:
        """Writes it to the file `path`, in the format of `numpy.savez`."""
        arrays: dict[str, Any] = {}
        for layer, weights in self.weights.items():
            arrays |= {f"{_WEIGHTS}/{index}/{layer}": each for index, each in enumerate(weights)}
        for layer, statistics in self.unit_statistics.items():
            for field in dataclasses.fields(statistics):
                arrays[f"{_STATISTICS}/{field.name}/{layer}"] = np.asarray(getattr(statistics, field.name))
        arrays |= {f"{_OUTPUTS}/{index}": each for index, each in enumerate(self.outputs)}
        with atomic_file(path) as file:  # given a path, NumPy would add a suffix to it
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> "Reference":
        """Reads a file that `save` has written.

        Raises:
            ValueError: the file is none of those.
        """
        weights: dict[str, list[np.ndarray]] = {}
        statistics: dict[str, dict[str, Any]] = {}
        outputs: list[np.ndarray] = []
        try:
            with np.load(path) as file:
                for key, array in file.items():  # in the order of writing
                    part, *rest = key.split("/", 2)
                    if part == _OUTPUTS:
                        outputs.append(array)
                    elif part == _WEIGHTS:
                        weights.setdefault(rest[1], []).append(array)
                    else:
                        value = array if array.ndim else array.item()
                        statistics.setdefault(rest[1], {})[rest[0]] = value
            return cls(
                weights, {layer: UnitStatistics(**each) for layer, each in statistics.items()}, tuple(outputs)
            )
        except FileNotFoundError:
            raise
        except ARRAY_FILE_ERRORS as error:
            rule = "must be a file that `Reference.save` has written"
            raise ValueError(f"`path` {rule}. Received: {str(path)!r}") from error

    def completed(self, later: "Reference") -> "Reference":
        """Returns this reference, completed by layers of `later` that were not trained or not there before.

        Args:
            later: reference of the same model, after `trainable` flags changed or layers were replaced.
        """

        def is_same(layer: str) -> bool:
            now = [each.shape for each in later.weights[layer]]
            return now == [each.shape for each in self.weights.get(layer, ())]

        weights = {layer: (self if is_same(layer) else later).weights[layer] for layer in later.weights}
        statistics = {
            layer: self.unit_statistics.get(layer, each) for layer, each in later.unit_statistics.items()
        }
        return Reference(weights, statistics, later.outputs)

    def weights_like(self, layer: str, weights: Sequence[Any]) -> Sequence[np.ndarray]:
        """Returns the values that the `weights` of `layer` had.

        Raises:
            ValueError: the reference is not of such a model.
        """
        found = self.weights.get(layer, ())
        _check_same(
            layer, "weights", [list(each.shape) for each in weights], [list(each.shape) for each in found]
        )
        return found

    def statistics_like(self, layer: str, statistics: UnitStatistics) -> UnitStatistics:
        """Returns the statistics that the units of `layer` had.

        Raises:
            ValueError: the reference is not of such a model.
        """
        found = self.unit_statistics.get(layer)
        shape = None if found is None else list(found.pre_mean.shape)
        _check_same(layer, "units", list(statistics.pre_mean.shape), shape)
        return self.unit_statistics[layer]


def _check_same(layer: str, what: str, now: Any, then: Any) -> None:
    if now != then:
        rule = f"must be of the same model, with {what} of shape {now} in {layer!r}"
        raise ValueError(f"`reference` {rule}. Received: {then or 'none'}")


def _copy(values: Any) -> np.ndarray:
    """Returns a copy as an array of a dtype that files keep."""
    array = np.asarray(values)
    return array.astype(array.dtype if array.dtype.kind in "fiub" else np.float32)
