"""Mitigations that cannot act in one run are refused by the loop's configuration and by `PlasticModel`."""

import numpy as np
import pytest

import tfplastic as tp
from tests.training.regression_task import RegressionTask
from tfplastic.mitigations import Mitigation, ResetLastLayer, ShrinkAndPerturb, WeightDecay
from tfplastic.mitigations.compatibility import check_mitigations


class NoDecay(Mitigation):
    """Excludes another class by its name."""

    excludes = ("WeightDecay",)


class Decay(WeightDecay):
    """Is a kind of the class that `NoDecay` excludes."""


class Holding(Mitigation):
    """Holds any value."""

    def __init__(self, value):
        self.value = value


def configure(mitigations):
    tp.training.TrainConfig(RegressionTask(), tp.optimizers.sgd(0.1), 3, mitigations=mitigations)


def compile_model(mitigations):
    model = tp.training.PlasticModel(tp.networks.mlp(1, (), input_shape=(2,)))
    model.compile("sgd", "mse", mitigations=mitigations)


@pytest.mark.parametrize("take", [configure, compile_model])
@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            [NoDecay(), WeightDecay()],
            "exclude each other. Received: NoDecay and WeightDecay. Give one of the",
        ),
        ([WeightDecay(), ShrinkAndPerturb(period=5), NoDecay()], "Received: WeightDecay and NoDecay. Give"),
        ([NoDecay(), Decay()], "exclude each other. Received: NoDecay and Decay."),
        ([WeightDecay(), WeightDecay()], "hold two of one class"),
        ([ResetLastLayer(period=5), NoDecay(), ResetLastLayer(period=5)], "Received: ResetLastLayer twice"),
        ([NoDecay()] * 2, "with the same arguments. Received: NoDecay twice. Give it once, or let their"),
    ],
)
def test_refused(take, refused, message):
    with pytest.raises(ValueError, match=message) as caught:
        take(refused)
    assert str(caught.value).startswith("`mitigations` must not hold two ")


@pytest.mark.parametrize("take", [configure, compile_model])
def test_two_of_one_class_with_different_arguments_are_taken(take):
    take([WeightDecay(1e-3), WeightDecay(1e-4), ShrinkAndPerturb(period=5), ShrinkAndPerturb(period=7)])
    take((Decay(), WeightDecay()))


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        (np.ones(3), np.ones(3), False),  # two objects; they are not looked into
        ([np.ones(3)], [np.ones(3)], False),
        ((1, "a"), (1, "a"), True),
        (len, len, True),
        (lambda: 0, lambda: 0, False),
        (1, 2, False),
    ],
)
def test_arguments_that_count_as_the_same(one, other, are_same):
    pair = [Holding(one), Holding(other)]
    if are_same:
        with pytest.raises(ValueError, match="Holding twice"):
            check_mitigations(pair, "@Holding()")
    else:
        assert check_mitigations(pair, "@Holding()") is pair
