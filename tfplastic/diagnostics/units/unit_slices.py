"""The parts of variables that belong to single units."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._checks import check_integer


class Slice:
    """The part of a variable that belongs to each unit: each index along an axis is of one unit or of none.

    Args:
        variable: the variable of the model, of either Keras.
        axis: axis of the variable; negative ones count from the end.
        units: integers, the unit that each index along the axis belongs to, -1 for none: shape
            `[variable.shape[axis]]`, by default the index itself. Where several neighboring axes together
            tell the unit, of which `axis` is the first, such as head and feature of attention:
            `[variable.shape[axis], variable.shape[axis + 1], ...]`.

    Raises:
        ValueError: `axis` is none of the variable's, or `units` has another shape or values below -1.

    Attributes:
        variable: the given variable.
        axis: at least 0.
        units: `[variable.shape[axis], ...] int64`.

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

    def __init__(self, variable: Any, axis: int, units: Any = None):
        rank = len(variable.shape)
        if not -rank <= axis < rank:
            raise ValueError(
                f"`axis` must be of -{rank} to {rank - 1} for {variable.name!r}. Received: {axis}"
            )
        self.variable = variable
        self.axis = axis % rank
        self.units = np.arange(int(variable.shape[self.axis])) if units is None else np.array(units, np.int64)
        lengths = tuple(int(each) for each in variable.shape[self.axis :][: max(self.units.ndim, 1)])
        if self.units.shape != lengths or self.units.min(initial=0) < -1:
            size = " x ".join(map(str, lengths))
            rule = f"must be {size} integers of at least -1, along axis {self.axis} of {variable.name!r}"
            raise ValueError(f"`units` {rule}. Received: shape {list(self.units.shape)}, {self.units!r:.60}")

    @property
    def num_units(self) -> int:
        """One more than the largest unit; 0 if there is none."""
        return int(self.units.max(initial=-1)) + 1

    def indices(self, unit: int) -> np.ndarray:
        """Returns the indices along `axis` of `unit`: `[k] int64`, ascending; of r axes `[k, r]`."""
        found = np.argwhere(self.units == check_integer("unit", unit))
        return found[:, 0] if self.units.ndim == 1 else found

    def mask(self, chosen: Any) -> tf.Tensor:
        """Returns the mask of the variable's entries that belong to the chosen units; traceable.

        Args:
            chosen: `[units] bool`.

        Returns:
            `[1, ..., variable.shape[axis], ..., 1] bool`, which broadcasts to the variable's shape.
        """
        return self.spread(tf.cast(chosen, tf.bool))

    def spread(self, values: tf.Tensor) -> tf.Tensor:
        """Returns each unit's value where its entries of the variable are, zero elsewhere; traceable.

        Args:
            values: `[units]`, of any dtype.

        Returns:
            `[1, ..., variable.shape[axis], ..., 1]`, which broadcasts to the variable's shape.
        """
        with_none = tf.concat([tf.zeros([1], values.dtype), values], axis=0)
        shape = [1] * len(self.variable.shape)
        shape[self.axis : self.axis + self.units.ndim] = self.units.shape
        return tf.reshape(tf.gather(with_none, self.units + 1), shape)

    def sums(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the sum over the entries of each unit, `[units]`; traceable.

        Args:
            values: a number for each entry, of the variable's shape.

        Example:
            >>> import tensorflow as tf
            >>> from tfplastic import diagnostics
            >>> kernel = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
            >>> diagnostics.Slice(kernel, 0, [0, 1, 0]).sums(tf.convert_to_tensor(kernel)).numpy().tolist()
            [14.0, 7.0]
        """
        own = range(self.axis, self.axis + max(self.units.ndim, 1))
        others = [axis for axis in range(len(self.variable.shape)) if axis not in own]
        totals = tf.reshape(tf.reduce_sum(values, axis=others), [-1])
        if np.array_equal(self.units.ravel(), np.arange(self.num_units)):
            return totals
        return tf.math.unsorted_segment_sum(totals, self.units.ravel(), self.num_units)

    def means(self, values: tf.Tensor) -> tf.Tensor:
        """Returns the mean over the entries of each unit, `[units]`; traceable.

        Args:
            values: a number for each entry, of the variable's shape.
        """
        return self.sums(values) / tf.cast(self.sizes, values.dtype)

    @property
    def sizes(self) -> np.ndarray:
        """The number of entries of each unit, `[units] int64`."""
        indices = np.bincount(self.units.ravel()[self.units.ravel() >= 0], minlength=self.num_units)
        return indices * (int(np.prod(self.variable.shape)) // self.units.size)

    def __repr__(self) -> str:
        return f"Slice({self.variable.name!r}, axis={self.axis}, units={self.num_units})"


@dataclasses.dataclass(frozen=True)
class Normalization:
    """A normalization between a unit's weights and its readers.

    Attributes:
        layer: its name.
        couples_units: whether a unit's value changes other units of the same example: layer and RMS
            normalization do, batch normalization at inference does not. A spectrally normalized layer is one
            too, its largest singular value being of all units' weights.
        parameters: the units' own parts, by role: 'scale', 'offset', and of batch normalization 'mean' and
            'variance'. Empty where the normalization has none, or shares them with other units.
    """

    layer: str
    couples_units: bool
    parameters: Mapping[str, Slice] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Units:
    """The units of one hidden layer, and their parts of the model.

    Attributes:
        incoming: slice of the layer's kernel. `incoming.num_units` is the number of units.
        outgoing: slices of the kernels that read the units, one or more. A channel of a convolution that is
            flattened feeds many rows of the next kernel; a unit of a recurrent layer its own layer, too.
        bias: slice of the layer's bias, if it has one with an entry for each unit.
        recurrent: for a recurrent layer, the weights from its own units one step before.
        norms: normalizations of the units on their way to their readers, in that order.
        activations: the names that the first nonlinearity after the layer has in `Snapshot.activations`, one
            for each call of the layer; none if the layer is linear.

    Raises:
        ValueError: nothing reads the units, or a part belongs to units that the layer does not have.
    """

    incoming: Slice
    outgoing: tuple[Slice, ...]
    bias: Slice | None = None
    recurrent: Slice | None = None
    norms: tuple[Normalization, ...] = ()
    activations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.outgoing:
            raise ValueError(f"`outgoing` must hold at least one slice. Received: {self.outgoing!r}")
        parts = [*self.outgoing, *(part for norm in self.norms for part in norm.parameters.values())]
        for part in [*parts, *(each for each in (self.bias, self.recurrent) if each is not None)]:
            if part.num_units > self.num_units:
                rule = f"must be of at most the {self.num_units} units of the layer"
                raise ValueError(f"The units of {part.variable.name!r} {rule}. Received: {part.num_units}")

    @property
    def num_units(self) -> int:
        """Returns the number of units of the layer."""
        return self.incoming.num_units

    @property
    def coupled(self) -> bool:
        """Whether a normalization makes other units of the layer depend on each unit."""
        return any(norm.couples_units for norm in self.norms)
