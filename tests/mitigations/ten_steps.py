"""Ten steps of gradient descent in `PlasticModel.fit`, and the same by hand in float64."""

import numpy as np

from tests.mitigations.numpy_network import backward, descend, outputs
from tfplastic._keras import keras
from tfplastic.optimizers import sgd
from tfplastic.training import PlasticModel

STEPS, SIZE, RATE = 10, 8, 0.05
KINDS = ("dense", "convolutional")


def network(kind):
    """A small network with biases that are not 0."""
    layers = keras.layers
    parts = {
        "dense": [keras.Input((4,)), layers.Dense(6, "relu"), layers.Dense(5, "relu"), layers.Dense(3)],
        "convolutional": [
            keras.Input((5, 5, 2)),
            layers.Conv2D(3, 3, activation="relu"),
            layers.Conv2D(4, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(6, "relu"),
            layers.Dense(3),
        ],
    }
    model = keras.Sequential(parts[kind])
    draw = np.random.default_rng(1)
    model.set_weights([draw.normal(size=each.shape) * 0.5 for each in model.get_weights()])
    return model


def data(kind):
    """Inputs and targets of all steps."""
    draw, shape = np.random.default_rng(2), network(kind).input_shape[1:]
    x = draw.normal(size=(STEPS * SIZE, *shape)).astype(np.float32)
    return x, draw.normal(size=(STEPS * SIZE, 3)).astype(np.float32)


def fitted(kind, mitigations, **arguments):
    """A network after ten steps with the mitigations."""
    model = PlasticModel(network(kind))
    model.compile(sgd(RATE), "mse", mitigations=mitigations, **arguments)
    model.fit(*data(kind), batch_size=SIZE, shuffle=False, verbose=0)
    return model.network


def by_hand(kind, transform=lambda found, weights, start, step: found, after=lambda weights, start: weights):
    """The weights after ten steps: gradients changed by `transform`, weights after each step by `after`."""
    x, y = (each.astype(np.float64) for each in data(kind))
    start = [each.astype(np.float64) for each in network(kind).get_weights()]
    weights = start
    for step in range(STEPS):
        part = slice(step * SIZE, (step + 1) * SIZE)
        by_outputs = 2 * (outputs(weights, x[part])[-1] - y[part]) / y[part].size  # of the mean squared error
        found = transform(backward(weights, x[part], by_outputs), weights, start, step + 1)
        weights = after(descend(weights, found, RATE), start)
    return weights


def assert_as_by_hand(kind, mitigations, transform=None, after=None, **arguments):
    """Asserts that the ten steps are those by hand, and that every kernel ends elsewhere than without."""
    given = {name: each for name, each in (("transform", transform), ("after", after)) if each}
    expected, without = by_hand(kind, **given), by_hand(kind)
    found = fitted(kind, mitigations, **arguments).get_weights()
    for one, other, plain in zip(found, expected, without, strict=True):
        scale = max(1.0, np.abs(other).max())  # float32 rounds small entries like large neighbours
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-6 * scale)
        assert one.ndim == 1 or np.abs(one - plain).max() > 1e-5


def plus(penalty):
    """The transform that adds the gradient of a penalty, `penalty(weights, start, step)`."""
    return lambda found, weights, start, step: [
        one + two for one, two in zip(found, penalty(weights, start, step), strict=True)
    ]
