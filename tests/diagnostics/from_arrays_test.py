"""Quantities of arrays are those of a Keras model that has them."""

import numpy as np
import pytest
import tensorflow as tf

from tfplastic import diagnostics, networks

INPUTS = np.random.default_rng(0).normal(size=(6, 5, 4, 2)).astype(np.float32)
TARGETS = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)
FEW = [
    "dead_units",
    "dormant_units",
    "weight_norm",
    "gradient_norm",
    "dormant_gradients",
    "weight_spectral_norm",
]


@pytest.fixture(scope="module")
def snapshot():
    model = networks.cnn(3, filters=(3,), kernel_sizes=(2,), strides=(1,), hidden=(7,), input_shape=(5, 4, 2))
    return diagnostics.Snapshot(model, INPUTS, TARGETS, "mse")


def named(snapshot, values):
    """Arrays by layer, as lists."""
    return {layer: [each.numpy() for each in of_layer] for layer, of_layer in values.items()}


def arrays(snapshot):
    return {
        "activations": {name: each.numpy() for name, each in snapshot.activations.items()},
        "pre_activations": {name: each.numpy() for name, each in snapshot.pre_activations.items()},
        "weights": named(snapshot, snapshot.weights),
        "gradients": named(snapshot, snapshot.gradients),
        "functions": dict.fromkeys(snapshot.activations, "relu"),
    }


def test_every_quantity_is_that_of_the_model(snapshot):
    report = diagnostics.from_arrays(**arrays(snapshot))
    values = {**report.to_dict(), **report.arrays}
    assert {*FEW, "feature_srank", "pre_activation_means", "linearized_units"} <= set(values)
    differing = set()
    for name, by_layer in values.items():
        expected = getattr(diagnostics, name)(snapshot)
        for layer, value in by_layer.items():
            if layer != "all" or set(expected) == set(by_layer):
                np.testing.assert_allclose(value, expected[layer], rtol=1e-5, atol=1e-6, err_msg=name)
        differing |= {name} if set(by_layer) - set(expected) else set()
    assert not differing
    assert "sharpness" in report.left_out and "distance_from_init" in report.left_out
    assert all(report.left_out.values())


def test_arrays_of_pytorch(snapshot):
    given = arrays(snapshot)
    moved = {
        **{name: {layer: np.moveaxis(each, -1, 1) for layer, each in given[name].items()} for name in given
           if name.endswith("activations")},
        **{name: {layer: [np.transpose(each, [*range(each.ndim)][::-1][:2] + [*range(each.ndim - 2)])
                          if each.ndim > 1 else each for each in of_layer]
                  for layer, of_layer in given[name].items()} for name in ("weights", "gradients")},
    }  # fmt: skip
    assert moved["weights"]["conv1"][0].shape == (3, 2, 2, 2) and moved["weights"]["hidden1"][0].shape == (
        7,
        60,
    )
    quantities = [getattr(diagnostics, name) for name in FEW]
    expected = diagnostics.from_arrays(**given, quantities=quantities).to_dict()
    found = diagnostics.from_arrays(**moved, layout="pytorch", quantities=quantities).to_dict()
    assert list(found) == FEW
    for name in FEW:
        for layer, value in expected[name].items():
            assert found[name][layer] == pytest.approx(value, rel=1e-5), (name, layer)


def test_against_numpy_by_hand():
    hidden = np.array([[0.0, 1.0, -1.0, 0.001], [0.0, 3.0, 1.0, 0.001]])
    kernel, gradient = np.array([[3.0, 0.0], [0.0, 4.0]]), np.array([[1.0, 0.0], [2.0, 0.0]])
    report = diagnostics.from_arrays({"a": hidden}, {"a": {"kernel": kernel}}, {"a": {"kernel": gradient}})
    values = report.to_dict()
    assert values["dead_units"] == {"a": 0.25}
    assert values["dormant_units"] == {"a": 0.5}  # E|h| = 0, 2, 1, 0.001; mean 0.75025
    assert values["active_units"] == {"a": 0.75}
    assert values["weight_norm"]["a"] == 5.0 and values["weight_spectral_norm"]["a"] == pytest.approx(4.0)
    assert values["gradient_norm"]["a"] == pytest.approx(5**0.5)
    assert values["dormant_gradients"]["a"] == 0.5
    assert np.isnan(values["saturated_units"]["a"])


def test_a_part_alone_and_other_kinds_of_arrays():
    report = diagnostics.from_arrays(weights={"a": tf.constant([[3.0, 4.0]])})
    assert report.to_dict()["weight_norm"]["a"] == 5.0
    assert report.left_out["dead_units"] == "needs `activations`"
    assert report.left_out["gradient_norm"] == "needs `gradients`"
    report = diagnostics.from_arrays({"a": [[0, 1], [0, 2]]})
    assert report.to_dict()["dead_units"] == {"a": 0.5}
    assert report.left_out["weight_norm"] == "needs `weights`"
    assert "saturated_units" in report.to_dict()
    with pytest.raises(ValueError, match="needs `weights`"):
        diagnostics.from_arrays({"a": [[0, 1]]}, quantities=[diagnostics.weight_norm])


ONE = {"a": np.ones([2, 3])}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "`activations` or `weights` must be given"),
        ({"activations": np.ones([2, 3])}, TypeError, "`activations` must be a mapping"),
        ({"activations": {"a": "text"}}, TypeError, "`activations` must hold arrays of real numbers"),
        ({"activations": {"a": np.ones(3)}}, ValueError, "`activations` must be arrays"),
        (
            {"activations": {**ONE, "b": np.ones([4, 3])}},
            ValueError,
            "`activations` must have as many",
        ),
        ({"weights": ONE, "gradients": {"b": np.ones(3)}}, ValueError, "`gradients` must have the layers"),
        (
            {"weights": ONE, "gradients": {"a": np.ones([3, 2])}},
            ValueError,
            "`gradients` must have the shape",
        ),
        ({"weights": ONE, "gradients": {"a": np.ones(3)}}, ValueError, "`gradients` must have the arrays"),
        ({"activations": ONE, "gradients": ONE}, ValueError, "`weights` must be given with `gradients`"),
        (
            {"activations": ONE, "pre_activations": {"b": np.ones([2, 3])}},
            ValueError,
            "`pre_activations` must be",
        ),
        ({"activations": ONE, "layout": "jax"}, ValueError, "`layout` must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=f"^{message}.*Received: ") as caught:
        diagnostics.from_arrays(**arguments)
    assert "\n" not in str(caught.value)
