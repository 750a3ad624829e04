"""The gin files of activations."""

import gin
import pytest

from tests.made_up_data import no_configuration_left  # noqa: F401
from tfplastic import networks
from tfplastic.configuration import gin_config

TASKS = {
    "mlp": "gin/random_labels_digits.gin",
    "cnn": "gin/mdp_random_label_cifar10.gin",
    "nature_dqn": "gin/atari_dqn.gin",
}
ARGUMENTS = {"nature_dqn": {"observation_shape": (36, 36, 1), "width": 0.1, "seed": 0}}


@pytest.mark.parametrize("activation", ["crelu", "deep_fourier", "rational"])
@pytest.mark.parametrize("network", TASKS)
def test_a_file_chooses_the_activation(network, activation):
    gin_config.parse([TASKS[network], f"gin/networks/{network}_{activation}.gin"], ())
    arguments = {
        "mlp": {"hidden": (8,)},
        "cnn": {"input_shape": (6, 6, 1), "filters": (4, 4), "hidden": (8,)},
    }
    model = gin.get_configurable(getattr(networks, network))(
        3, **arguments.get(network, ARGUMENTS.get(network))
    )
    names = [layer.name for layer in model.layers if layer.name.endswith(activation)]
    assert len(names) == {"mlp": 1, "cnn": 3, "nature_dqn": 4}[network]
    if network == "mlp":  # 64 inputs: 3 outputs have 2 x 8 inputs at most
        units = model.get_layer("hidden1").kernel.shape[-1]
        assert units == (8 if activation == "rational" else 7)
