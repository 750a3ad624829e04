"""Activations of this library in every builder, and the width that equals the weights of ReLU."""

import numpy as np
import pytest

from tests.contracts.networks_contract_test import build, inputs
from tfplastic import networks
from tfplastic._keras import keras

SMALL = ("mlp", "cnn", "nature_dqn", "vit")
FULL = {
    "mlp": {"hidden": (64, 32), "input_shape": (20,)},
    "cnn": {"filters": (16, 12), "hidden": (40,), "input_shape": (9, 8, 3), "padding": "valid"},
    "nature_dqn": {"observation_shape": (36, 40, 2), "width": 0.5, "seed": 0},
    "vit": {"model_dim": 16, "feed_forward_dim": 90, "num_heads": 2, "input_shape": (6, 6, 2)},
    "resnet18": {"width": 0.2, "input_shape": (9, 8, 2)},
}


def num_weights(model):
    return sum(int(np.prod(each.shape)) for each in model.trainable_variables)


@pytest.mark.parametrize("activation", ["crelu", "deep_fourier", "rational"])
@pytest.mark.parametrize("name", SMALL)
def test_every_builder_takes_it_and_is_saved_and_loaded(name, activation, tmp_path):
    model = build(name, activation=activation)
    assert any(layer.name.endswith(f"_{activation}") for layer in model.layers)
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded(inputs(name)), model(inputs(name)))
    assert np.isfinite(np.array(model(inputs(name)))).all()


@pytest.mark.parametrize("norm", [None, "layer"])
@pytest.mark.parametrize("name", [*SMALL, pytest.param("resnet18", marks=pytest.mark.slow)])
def test_a_trimmed_network_has_as_many_weights_as_with_relu_or_just_fewer(name, norm):
    def make(**more):
        return getattr(networks, name)(3, norm=norm, **FULL[name], **more)

    most, full = num_weights(make(activation="relu")), num_weights(make(activation="crelu"))
    trimmed = num_weights(make(activation="crelu", trim_width=True))
    assert full > 1.2 * most
    assert 0.93 * most < trimmed <= most  # whole units of narrow layers
    assert num_weights(make(activation="deep_fourier", trim_width=True)) == trimmed
    assert num_weights(make(activation="relu", trim_width=True)) == most


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
@pytest.mark.parametrize("position", ["before", "after"])
def test_the_factor_is_the_largest_one(norm, position):
    settings = {"norm": norm, "norm_position": position, "activation": "crelu"}
    trimmed = networks.cnn(3, **FULL["cnn"], **settings, trim_width=True)
    units = [trimmed.get_layer(each).kernel.shape[-1] for each in ("conv1", "conv2", "hidden1")]
    most = num_weights(networks.cnn(3, **FULL["cnn"], **{**settings, "activation": "relu"}))
    counts = {}
    for width in np.linspace(0.4, 1, 121):
        made = [max(1, round(width * each)) for each in (16, 12, 40)]
        kernels = 25 * 3 * made[0] + 9 * 2 * made[0] * made[1] + 2 * 6 * made[1] * made[2] + 2 * made[2] * 3
        entries = [made[0], made[1], made[2]] if norm == "batch" else [20 * made[0], 6 * made[1], made[2]]
        gains = sum(entries) * (2 if position == "after" else 1) * (1 if norm == "rms" else 2)
        counts[tuple(made)] = kernels + sum(made) + 3 + gains
    assert num_weights(trimmed) == counts[tuple(units)] <= most
    assert max(count for count in counts.values() if count <= most) == num_weights(trimmed)


def test_a_linear_network_has_nothing_to_trim():
    assert num_weights(networks.mlp(2, (), input_shape=(3,), activation="crelu", trim_width=True)) == 8


def test_a_wrong_switch_is_refused():
    with pytest.raises(ValueError, match="`trim_width` must be "):
        networks.mlp(2, (4,), trim_width="yes")
