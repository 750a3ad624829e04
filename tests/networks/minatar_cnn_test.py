import re

import numpy as np
import pytest

from tests.networks.nature_dqn_test import convolve, disturb, normalize, weights
from tfplastic.networks import minatar_cnn

SHAPE = (10, 10, 4)


def oracle(model, observations, has_norm):
    """The forward pass in float64, written from the paper."""
    x = observations.astype(np.float64)
    for name in ("conv1", "dense"):
        kernel, bias = weights(model, name)
        x = convolve(x, kernel, bias, 1) if name == "conv1" else x.reshape(len(x), -1) @ kernel + bias
        if has_norm:
            gain, offset = weights(model, f"{name}_norm")
            x = normalize(x, gain, offset, 1e-5)
        x = np.maximum(x, 0)
    kernel, bias = weights(model, "output")
    return (x @ kernel + bias).reshape(len(x), *model.output_shape[1:])


@pytest.mark.parametrize(("norm", "num_outputs"), [(None, 6), ("layer", (3, 7))])
def test_equals_a_float64_forward_pass(norm, num_outputs):
    model = minatar_cnn(num_outputs, norm=norm, seed=0)
    disturb(model)
    observations = np.random.default_rng(1).integers(0, 2, (5, *SHAPE), dtype=np.uint8)
    expected = oracle(model, observations, norm is not None)
    np.testing.assert_allclose(model(observations), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


# conv1 3 x 3 x channels x 16 + 16; dense 8 x 8 x 16 x 128 + 128 = 131,200; output 128 x actions + actions.
# Normalization: 2 x (8 x 8 x 16 + 128) = 2,304.
@pytest.mark.parametrize(
    ("num_outputs", "channels", "arguments", "count"),
    [
        (6, 4, {}, 592 + 131_200 + 774),
        (3, 10, {}, 1_456 + 131_200 + 387),
        (6, 7, {"norm": "layer"}, 1_024 + 131_200 + 774 + 2_304),
        ((6, 51), 6, {"shared_bias": True}, 880 + 131_200 + 128 * 306 + 1),
    ],
)
def test_number_of_parameters(num_outputs, channels, arguments, count):
    model = minatar_cnn(num_outputs, (10, 10, channels), seed=0, **arguments)
    assert model.count_params() == count


def test_initial_weights_are_uniform_within_one_over_the_root_of_fan_in():
    model = minatar_cnn(6, seed=0)
    for name, fan_in in {"conv1": 36, "dense": 1_024, "output": 128}.items():
        for array in weights(model, name):
            assert fan_in**-0.5 * (1 - 10 / array.size) < np.abs(array).max() <= fan_in**-0.5


def test_an_image_that_is_too_small_is_refused():
    message = "`observation_shape` must be at least 3 pixels high and wide. Received: (2, 10, 4)"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        minatar_cnn(6, (2, 10, 4), seed=0)
