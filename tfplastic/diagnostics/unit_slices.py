"""The parts of variables that belong to single units."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._checks import check_integer


class Slice:
    """Which part of a variable belongs to which unit: along one axis, each index is of one unit or of none.

    Args:
        variable: as the model has it, of either Keras.
        axis: of the variable; negative ones count from the end.
        units: `[variable.shape[axis]]` integers, the unit that each index belongs to, -1 for none; by default
            the index itself.

    Raises:
        ValueError: `axis` is none of the variable's, or `units` has another length or values below -1.

    Attributes:
        variable: as given.
        axis: at least 0.
        units: `[variable.shape[axis]] int64`.

    Example:
        >>> import tensorflow as tf
        >>> from tfplastic import diagnostics
        >>> kernel = tf.Variable(tf.zeros([4, 3]))  # reads two channels at two positions each
        >>> rows = diagnostics.Slice(kernel, 0, [0, 1, 0, 1])
        >>> rows.indices(1).tolist()
        [1, 3]
        >>> rows.mask([False, True]).numpy().tolist()
        [[False], [True], [False], [True]]
    """

    def __init__(self, variable: Any, axis: int, units: Iterable[int] | None = None):
        rank = len(variable.shape)
        if not -rank <= axis < rank:
            raise ValueError(
                f"`axis` must be of -{rank} to {rank - 1} for {variable.name!r}. Received: {axis}"
            )
        self.variable = variable
        self.axis = axis % rank
        length = int(variable.shape[self.axis])
        self.units = np.arange(length) if units is None else np.array(units, np.int64)
        if self.units.shape != (length,) or self.units.min(initial=0) < -1:
            rule = f"must be {length} integers of at least -1, along axis {self.axis} of {variable.name!r}"
            raise ValueError(f"`units` {rule}. Received: shape {list(self.units.shape)}, {self.units!r:.60}")

    @property
    def num_units(self) -> int:
        """One more than the largest unit; 0 if there is none."""
        return int(self.units.max(initial=-1)) + 1

    def indices(self, unit: int) -> np.ndarray:
        """The indices along `axis` that belong to `unit`: `[k] int64`, ascending."""
        return np.flatnonzero(self.units == check_integer("unit", unit))

    def mask(self, chosen: Any) -> tf.Tensor:
        """Which entries of the variable belong to the chosen units; traceable.

        Args:
            chosen: `[units] bool`.

        Returns:
            `[1, ..., variable.shape[axis], ..., 1] bool`, which broadcasts to the variable's shape.
        """
        with_none = tf.concat([[False], tf.cast(chosen, tf.bool)], axis=0)
        shape = [1] * len(self.variable.shape)
        shape[self.axis] = -1
        return tf.reshape(tf.gather(with_none, self.units + 1), shape)

    def __repr__(self) -> str:
        return f"Slice({self.variable.name!r}, axis={self.axis}, units={self.num_units})"


@dataclasses.dataclass(frozen=True)
class Normalisation:
    """A normalisation between a unit's weights and its readers.

    Attributes:
        layer: its name.
        couples_units: whether a unit's value changes other units of the same example: layer and RMS
            normalisation do, batch normalisation at inference does not. A spectrally normalised layer is one
            too, its largest singular value being of all units' weights.
        parameters: the units' own parts, by role: 'scale', 'offset', and of batch normalisation 'mean' and
            'variance'. Empty where the normalisation has none, or shares them with other units.
    """

    layer: str
    couples_units: bool
    parameters: Mapping[str, Slice] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Units:
    """The units of one hidden layer, and what in the model is theirs.

    Attributes:
        incoming: of the layer's kernel. `incoming.num_units` is the number of units.
        outgoing: of the kernels that read the units, one or more. A channel of a convolution that is
            flattened feeds many rows of the next kernel.
        bias: of the layer, if it has one.
        norms: what normalises the units on their way to their readers, in that order.
        activations: the names that the first nonlinearity after the layer has in `Snapshot.activations`, one
            for each call of the layer; none if the layer is linear.

    Raises:
        ValueError: nothing reads the units, or a part belongs to units that the layer does not have.
    """

    incoming: Slice
    outgoing: tuple[Slice, ...]
    bias: Slice | None = None
    norms: tuple[Normalisation, ...] = ()
    activations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.outgoing:
            raise ValueError(f"`outgoing` must hold at least one slice. Received: {self.outgoing!r}")
        parts = [*self.outgoing, *(part for norm in self.norms for part in norm.parameters.values())]
        for part in [*parts, self.bias] if self.bias else parts:
            if part.num_units > self.num_units:
                rule = f"must be of at most the {self.num_units} units of the layer"
                raise ValueError(f"The units of {part.variable.name!r} {rule}. Received: {part.num_units}")

    @property
    def num_units(self) -> int:
        """How many units the layer has."""
        return self.incoming.num_units

    @property
    def coupled(self) -> bool:
        """Whether a normalisation makes other units of the layer depend on each unit."""
        return any(norm.couples_units for norm in self.norms)
