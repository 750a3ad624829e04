"""Hare and Tortoise against its rule in float64; what is evaluated is the tortoise."""

import numpy as np
import pytest

from tests.mitigations.small_run import SmallRun, network, same_bits
from tests.mitigations.ten_steps import KINDS, STEPS, assert_as_by_hand, data, fitted
from tfplastic import mitigations, optimizers
from tfplastic.mitigations import HareAndTortoise
from tfplastic.mitigations.compatibility import check_mitigations
from tfplastic.training import PlasticModel
from tfplastic.training.mitigated_network import evaluation_weights

DECAY, PERIOD = 0.8, 4


class ByHand:
    def __init__(self):
        self.step, self.tortoise = 0, []

    def __call__(self, hare, start):
        self.step += 1
        pairs = zip(self.tortoise or start, hare, strict=True)
        self.tortoise = [DECAY * slow + (1 - DECAY) * fast for slow, fast in pairs]
        return self.tortoise if self.step % PERIOD == 0 else hare


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps(kind):
    mitigation, by_hand = HareAndTortoise(PERIOD, DECAY), ByHand()
    assert_as_by_hand(kind, [mitigation], after=by_hand)
    assert by_hand.step == STEPS
    for found, expected in zip(mitigation.state.values(), by_hand.tortoise, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-6)


def test_moving_statistics_are_averaged_and_frozen_weights_keep_their_bits():
    model = network(norm="batch")
    hare = HareAndTortoise(2, DECAY)
    training = SmallRun([hare], model)
    first = {name: each.numpy() for name, each in hare.state.items() if "moving" in name}
    model.layers[0].trainable = False
    frozen = model.layers[0].kernel.numpy()
    training.train()
    assert len(first) == 4
    for name, value in first.items():
        assert (hare.state[name].numpy() != value).any()
    assert same_bits(
        [model.layers[0].kernel.numpy(), hare.state["tortoise/hidden1/kernel"].numpy()], [frozen] * 2
    )


def test_the_weights_come_back_bit_for_bit_after_an_error_too():
    hare = HareAndTortoise(10, DECAY)
    training = SmallRun([hare]).train()
    before = training.everything()
    with pytest.raises(KeyError), evaluation_weights(training.mitigations):
        assert same_bits(training.weights().values(), [each.numpy() for each in hare.state.values()])
        raise KeyError
    assert same_bits(training.everything(), before)


def test_a_plastic_model_evaluates_predicts_and_validates_the_tortoise():
    kind, hare = "dense", HareAndTortoise(PERIOD, DECAY)
    model = PlasticModel(fitted(kind, []))
    model.compile(optimizers.sgd(0.05), "mse", mitigations=[hare])
    x, y = data(kind)
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0, validation_data=(x, y))
    fast, found = model.network.get_weights(), model.evaluate(x, y, verbose=0)
    predicted = model.predict(x, verbose=0)
    assert same_bits(model.network.get_weights(), fast)
    of_hare = np.mean((model.network(x).numpy() - y) ** 2)
    model.network.set_weights([each.numpy() for each in hare.state.values()])
    np.testing.assert_allclose(predicted, model.network(x), rtol=1e-5, atol=1e-6)
    of_tortoise = np.mean((predicted - y) ** 2)
    np.testing.assert_allclose([found, history.history["val_loss"][0]], of_tortoise, rtol=1e-5)
    assert abs(of_hare / of_tortoise - 1) > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        lambda: mitigations.ContinualBackprop(),
        lambda: mitigations.GraMa(),
        lambda: mitigations.PartialResets(),
        lambda: mitigations.ReDo(),
        lambda: mitigations.ResetLastLayer(100),
        lambda: mitigations.ResetNetwork(100),
        lambda: mitigations.SelfNormalizedResets(),
    ],
)
def test_methods_that_draw_weights_anew_are_refused(make):
    pair = [HareAndTortoise(10), make()]
    names = [type(each).__name__ for each in pair]
    for turned in (pair, pair[::-1]):
        with pytest.raises(ValueError, match="must not hold two that exclude each other") as caught:
            check_mitigations(turned, "ReDo()")
        assert all(name in str(caught.value) for name in names) and "\n" not in str(caught.value)


def test_two_are_refused():
    with pytest.raises(ValueError, match="exclude each other. Received: HareAndTortoise and HareAndTortoise"):
        check_mitigations([HareAndTortoise(2), HareAndTortoise(3)], "ReDo()")
