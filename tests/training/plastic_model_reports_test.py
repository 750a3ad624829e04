"""The values that `PlasticModel` reports, against NumPy: those of its own first call on the step's batch."""

import numpy as np
import pytest

from tests.training.regression_task import RegressionTask
from tfplastic import mitigations
from tfplastic._keras import keras
from tfplastic.training import PlasticModel


def data():
    task = RegressionTask(bad_step=None)
    task.build(3)
    x, y = (np.concatenate(arrays) for arrays in zip(*(task.next() for _ in range(4)), strict=True))
    return task.model, x, y


CALLING = {
    "CChain": lambda: mitigations.CChain(first=1e-3),
    "InFeR": lambda: mitigations.InFeR(),
    "L2ER": lambda: mitigations.L2ER(step_size=1e-9),
    "DASH": lambda: mitigations.DASH(period=2, floor=0.999999),
}


@pytest.mark.parametrize("name", CALLING)
def test_metrics_are_of_the_batch_whatever_mitigations_call_the_model_on(name):
    network, x, y = data()
    for weight in network.trainable_variables:
        weight.assign(weight + 0.1)  # so that no layer has an offset of zero
    model = PlasticModel(network)
    other = np.random.default_rng(0).normal(size=(16, *x.shape[1:])).astype(np.float32)
    model.compile(
        keras.optimizers.SGD(0.0),
        "mse",
        metrics=["mae"],
        mitigations=[CALLING[name]()],
        data=(other, np.full((16, 1), 50.0, np.float32)),
    )
    for weight in network.trainable_variables:
        weight.assign(weight + 0.2)  # so that it is another network than the first one
    expected = np.abs(np.asarray(network(x), np.float64) - y).mean()
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
    assert history["mae"][0] == pytest.approx(expected, rel=1e-3)
    assert history["loss"][0] == pytest.approx(np.square(np.asarray(network(x)) - y).mean(), rel=1e-3)


def test_losses_of_the_outputs_are_not_reported_as_zeros():
    inputs = keras.Input((3,))
    outputs = [keras.layers.Dense(1, name=name)(inputs) for name in ("value", "other")]
    model = PlasticModel(keras.Model(inputs, outputs))
    model.compile(keras.optimizers.SGD(0.0), ["mse", "mae"], metrics=[["mae"], []])
    x, y = np.ones([4, 3], np.float32), [np.full([4, 1], 5.0, np.float32)] * 2
    model.evaluate(x, y, verbose=0)  # from then on Keras has a mean of each output's loss
    for _ in range(2):
        history = model.fit(x, y, validation_data=(x, y), epochs=2, verbose=0).history
        reported = {name: values for name, values in history.items() if not name.startswith("val_")}
        assert {"loss", "gradient_norm"} < set(reported) and len(reported) == 3  # with the mean error
        assert all(np.min(values) > 0.1 for values in reported.values())
        assert history["loss"] == pytest.approx(history["val_loss"], rel=1e-5)
        of_outputs = [history[name][-1] for name in history if name.endswith("_loss") and name != "val_loss"]
        assert len(of_outputs) == 2  # of Keras, in validation
        assert np.sum(of_outputs) == pytest.approx(history["loss"][-1], rel=1e-4)


def tortoise_model():
    network, x, y = data()
    model = PlasticModel(network)
    hare = mitigations.HareAndTortoise(reset_period=1_000, decay=0.999)
    model.compile(keras.optimizers.SGD(0.05), "mse", mitigations=[hare])
    model.fit(x, y, batch_size=8, verbose=0)
    return model, x, y


def by_numpy(weights, x):
    w1, b1, w2, b2 = (np.asarray(each, np.float64) for each in weights)
    return np.maximum(x @ w1 + b1, 0) @ w2 + b2


@pytest.mark.parametrize("how", ["set", "load"])
def test_weights_that_are_replaced_are_those_that_are_evaluated(how, tmp_path):
    model, x, y = tortoise_model()
    average = model.predict(x, verbose=0)
    assert np.abs(average - by_numpy(model.get_weights(), x)).max() > 1e-2
    generator = np.random.default_rng(0)
    new = [generator.normal(size=each.shape).astype(np.float32) for each in model.get_weights()]
    if how == "load":
        other, _, _ = data()
        saved = PlasticModel(other)
        saved.set_weights(new)
        saved.save_weights(tmp_path / "new.weights.h5")
        model.load_weights(tmp_path / "new.weights.h5")
    else:
        model.set_weights(new)
    expected = by_numpy(new, x)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-4)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(np.square(expected - y).mean(), rel=1e-4)


def test_early_stopping_brings_back_what_is_evaluated():
    model, x, y = tortoise_model()
    best = keras.callbacks.EarlyStopping("loss", mode="max", patience=2, restore_best_weights=True)
    model.fit(x, y, batch_size=8, shuffle=False, epochs=4, callbacks=[best], verbose=0)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), by_numpy(model.get_weights(), x), rtol=1e-4, atol=1e-4
    )
