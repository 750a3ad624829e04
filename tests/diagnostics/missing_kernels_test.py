"""Operations that TensorFlow lacks on the device at hand: one line that names them and a remedy."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfplastic.diagnostics import diagnose
from tfplastic.linalg import HessianOperator, eigsh

keras = tf.keras
# Prints the errors of models in channels_first under a TensorFlow without oneDNN.
WITHOUT_ONEDNN = """
import numpy as np
import tfplastic as tp
from tfplastic._keras import keras

for name, rank in (("Conv2D", 2), ("Conv3D", 3)):
    shape = (2, *[6] * rank)
    layer = getattr(keras.layers, name)(3, 3, data_format="channels_first")
    others = [keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.layers.Input(shape), layer, *others])
    x, y = np.ones([4, *shape], "float32"), np.ones([4, 2], "float32")
    hessian = tp.linalg.HessianOperator.from_model(model, x, y, "mse")
    for run in (lambda: tp.diagnostics.diagnose(model, x), lambda: tp.linalg.eigsh(hessian)):
        try:
            run()
        except ValueError as error:
            print(name, error)
"""


class _SpaceToDepth(keras.layers.Layer):
    def call(self, inputs):
        return tf.nn.space_to_depth(inputs, 2, data_format="NCHW")


@pytest.mark.skipif(bool(tf.config.list_logical_devices("GPU")), reason="GPUs have this kernel")
def test_a_layout_without_a_kernel_is_named_in_one_line():
    layers = [keras.layers.Input((2, 4, 4)), _SpaceToDepth(), keras.layers.Flatten(), keras.layers.Dense(1)]
    model, inputs = keras.Sequential(layers), np.ones([3, 2, 4, 4], "float32")
    rule = "must consist of operations that TensorFlow has on this device"
    rule += r"\. Received: No OpKernel.*'SpaceToDepth'.*"
    with pytest.raises(ValueError, match=rf"^`model` {rule}$"):
        diagnose(model, inputs)
    with pytest.raises(ValueError, match=rf"^`loss_fn` {rule}$"):
        eigsh(HessianOperator.from_model(model, inputs, np.ones([3, 1], "float32"), "mse"))


@pytest.mark.slow
def test_channels_first_without_onednn_is_one_line_with_the_remedy():
    process = subprocess.run(
        [sys.executable, "-c", WITHOUT_ONEDNN],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
    )
    lines = process.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["Conv2D", "Conv2D", "Conv3D", "Conv3D"], process.stderr
    for line in lines:
        assert "must be channels_last on this CPU" in line
