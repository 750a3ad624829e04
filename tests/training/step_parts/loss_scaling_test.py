"""Optimizers that scale losses are refused, by `fit` and the loop: gradients would be too small."""

from typing import Any

import pytest

from tests.training.regression_task import RegressionTask
from tfplastic import networks
from tfplastic._keras import is_legacy, keras
from tfplastic.training import PlasticModel, TrainConfig
from tfplastic.training.step_parts.loss_scaling import check_scales_no_loss

RULE = "`optimizer` must be an optimizer that does not scale losses. Received: "


class Scaling(keras.optimizers.SGD):
    """Optimizer of either Keras with the attribute that Keras 3 has."""

    loss_scale_factor: Any = 1024.0


SCALING = {
    "LossScaleOptimizer": lambda: keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD()),
    "Scaling with loss_scale_factor=1024.0": lambda: Scaling() if is_legacy() else keras_3(Scaling),
    "SGD with loss_scale_factor=8.0": lambda: keras_3(keras.optimizers.SGD, 8.0),
}


def keras_3(kind, factor=1024.0):
    if is_legacy():
        pytest.skip("the argument is that of Keras 3")
    return kind(loss_scale_factor=factor)


@pytest.mark.parametrize("received", SCALING)
def test_neither_fit_nor_the_loop_takes_one(received):
    model = PlasticModel(networks.mlp(1, (), input_shape=(3,)))
    with pytest.raises(ValueError) as caught:
        model.compile(SCALING[received](), "mse")
    assert str(caught.value).startswith(RULE + received)
    with pytest.raises(ValueError) as caught:
        TrainConfig(RegressionTask(), SCALING[received](), total_steps=1)
    assert str(caught.value).splitlines()[0].startswith(RULE + received)


@pytest.mark.parametrize("optimizer", ["sgd", keras.optimizers.Adam(), None])
def test_others_are_taken(optimizer):
    check_scales_no_loss(optimizer)
