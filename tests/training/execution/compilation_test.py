"""The compiler that the rules choose."""

import pytest
import tensorflow as tf

from tests.training.graph_loop_test import make_loop, make_task
from tfplastic import networks, optimizers
from tfplastic.mitigations import L2ER, ResampledInit, ShrinkAndPerturb, WassersteinInit, WeightDecay
from tfplastic.optimizers.any_keras import draws_noise
from tfplastic.training import Loop, TrainConfig
from tfplastic.training.execution.compilation import choose_compiler

DENSE = networks.mlp(2, (3,), input_shape=(4,))
CONVOLUTIONAL = networks.cnn(2, input_shape=(8, 8, 1), filters=(2,), kernel_sizes=(3,), strides=(1,))


@pytest.mark.parametrize("kind", ["supervised", "mdp"])
@pytest.mark.parametrize("device", ["CPU", "GPU"])
def test_the_rules(kind, device):
    assert choose_compiler("auto", kind, DENSE, device) == "xla"
    assert choose_compiler("auto", kind, CONVOLUTIONAL, device) == "graph"
    with_noise = choose_compiler("auto", kind, DENSE, device, draws_noise=True)
    assert with_noise == {"CPU": "graph", "GPU": "xla"}[device]
    assert choose_compiler("xla", kind, DENSE, device, draws_noise=True) == "xla"


@pytest.mark.parametrize(
    ("optimizer", "draws"),
    [
        (lambda: optimizers.upgd(), True),
        (lambda: optimizers.upgd(noise_scale=0.0), False),
        (lambda: optimizers.ada_upgd(), True),
        (lambda: optimizers.trac(optimizers.upgd()), True),
        (lambda: optimizers.trac(optimizers.adam()), False),
        (lambda: optimizers.adam(), False),
        (lambda: tf.keras.optimizers.SGD(), False),
        (lambda: tf.keras.mixed_precision.LossScaleOptimizer(optimizers.upgd()), True),
    ],
)
def test_optimizers_that_draw_noise_for_each_weight(optimizer, draws):
    assert draws_noise(optimizer()) == draws


def test_a_run_with_noise_of_the_optimizer():
    loop = Loop(TrainConfig(make_task(), optimizers.upgd(), 4))
    assert loop.driver.compiler == "graph" and make_loop(compiler="auto").driver.compiler == "xla"


@pytest.mark.parametrize(
    ("mitigation", "draws"),
    [
        (WeightDecay(1e-4), False),
        (ResampledInit(), True),
        (L2ER(), True),
        (WassersteinInit(), True),
        (ShrinkAndPerturb(1, 0.999, 0.01), True),
        (ShrinkAndPerturb(1, 0.999, 0.01, noise="normal"), True),
        (ShrinkAndPerturb(1, 0.999, 0.01, noise="initial"), False),
        (ShrinkAndPerturb(), False),  # at boundaries
    ],
)
def test_mitigations_whose_steps_are_faster_in_the_graph(mitigation, draws):
    assert mitigation.prefers_graph == draws


def test_a_run_with_noise_of_a_mitigation():
    config = TrainConfig(make_task(), optimizers.adam(), 4, mitigations=[ResampledInit()])
    assert Loop(config).driver.compiler == "graph"
