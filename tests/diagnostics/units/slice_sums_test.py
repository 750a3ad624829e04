"""Sums, means and spreading of the entries of units, against loops over the entries."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.diagnostics import Slice

# Shape of the variable, axis, and the unit of each index along it (or along two axes).
KINDS = [
    ((3, 4), 1, None),
    ((6, 2), 0, [0, 1, 2, 0, 1, 2]),  # three channels at two positions
    ((5, 2), 0, [1, -1, 0, 1, 1]),  # one index of no unit
    ((2, 2, 3), 0, [[0, 1], [2, 3]]),  # head and feature
    ((3, 3, 2, 4), -1, None),
    ((4,), 0, [2, 0, 1, 2]),
]


@pytest.mark.parametrize(("shape", "axis", "units"), KINDS)
def test_they_are_those_of_a_loop(shape, axis, units):
    part = Slice(tf.Variable(tf.zeros(shape)), axis, units)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    by_unit = np.random.default_rng(1).normal(size=part.num_units).astype(np.float32)
    sums, sizes, spread = np.zeros(part.num_units), np.zeros(part.num_units, int), np.zeros(shape)
    for place in np.ndindex(*shape):
        own = place[part.axis : part.axis + part.units.ndim]
        unit = part.units[own]
        if unit >= 0:
            sums[unit] += values[place]
            sizes[unit] += 1
            spread[place] = by_unit[unit]
    np.testing.assert_allclose(part.sums(values), sums, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(part.means(values), sums / sizes, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(part.sizes, sizes)
    np.testing.assert_array_equal(
        np.broadcast_to(part.spread(tf.constant(by_unit)), shape), spread.astype(np.float32)
    )
