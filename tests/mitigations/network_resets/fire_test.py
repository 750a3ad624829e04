"""FIRE against singular values and Newton and Schulz's iteration in float64."""

from typing import Any

import numpy as np
import pytest

import tfplastic as tp
from tests.mitigations.ten_steps import KINDS, assert_as_by_hand
from tfplastic._keras import keras
from tfplastic.mitigations import FIRE
from tfplastic.mitigations.network_resets.fire import nearest_orthogonal

NOTHING: Any = None  # the arguments of a hook that reads none


def orthogonal(w, iterations):
    """The rule for one matrix `[outputs, inputs]`, as in the text."""
    x = w.T if w.shape[0] < w.shape[1] else w
    x = x / np.sqrt((x**2).sum())
    for _ in range(iterations):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x.T if w.shape[0] < w.shape[1] else x


def by_hand(weights, start, iterations):
    found = []
    for weight in weights:
        if weight.ndim == 1:
            found.append(weight)
            continue
        new = np.empty_like(weight)
        window = weight.shape[:-2]
        for place in np.ndindex(*window):
            w = weight[place].T
            scale = np.sqrt(w.shape[0] / w.shape[1]) / np.prod(window)
            new[place] = (orthogonal(w, iterations) * scale).T
        found.append(new)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_ten_steps(kind):
    assert_as_by_hand(kind, [FIRE(1, 6)], after=lambda weights, start: by_hand(weights, start, 6))


@pytest.mark.parametrize("shape", [(16, 16), (40, 12), (12, 40)])
def test_singular_values_are_1_after_ten_iterations(shape):
    draw = np.random.default_rng(0)
    u, _, v = np.linalg.svd(draw.normal(size=shape), full_matrices=False)
    values = np.geomspace(1, 5, min(shape))  # of a condition number of 5
    found = nearest_orthogonal((u * values @ v).astype(np.float32)[None], 10).numpy()[0]
    np.testing.assert_allclose(np.linalg.svd(found, compute_uv=False), 1, atol=1e-2)
    np.testing.assert_allclose(found, u @ v, atol=1e-2)  # the polar factor


def act(model, **arguments):
    before = [each.numpy() for each in model.trainable_variables]
    fire = FIRE(**arguments)
    fire.build(model, None, 0)
    fire.after_update(NOTHING, model, NOTHING, NOTHING)
    names = [f"{each.path if hasattr(each, 'path') else each.name}" for each in model.trainable_variables]
    return names, before, [each.numpy() for each in model.trainable_variables]


def test_each_kind_of_kernel_is_made_of_orthogonal_matrices():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False),
            layers.Conv2D(6, 2, groups=2, use_bias=False),
            layers.Conv2DTranspose(5, 2, use_bias=False),
            layers.SeparableConv2D(3, 2, use_bias=False),
            layers.Flatten(),
            layers.EinsumDense("bd,dhk->bhk", (2, 3)),
        ]
    )
    _, _, after = act(model, num_iterations=25)
    depthwise, grouped, transposed, separable, pointwise, einsum = after
    np.testing.assert_allclose(np.linalg.norm(depthwise, axis=-1), 2**0.5 / 9, rtol=1e-4)
    for kernel, count in ((grouped[..., :3], 4), (grouped[..., 3:], 4), (pointwise, 1)):
        check_scaled_orthogonal(kernel.reshape(-1, *kernel.shape[-2:]), count)
    check_scaled_orthogonal(np.swapaxes(transposed, -1, -2).reshape(-1, 6, 5), 4)
    np.testing.assert_allclose(np.abs(separable), 1 / 4, rtol=1e-4)
    check_scaled_orthogonal(einsum.reshape(1, -1, 6), 1)


def check_scaled_orthogonal(matrices, positions):
    inputs, outputs = matrices.shape[-2:]
    found = np.linalg.svd(matrices, compute_uv=False)
    np.testing.assert_allclose(found, (outputs / inputs) ** 0.5 / positions, rtol=1e-3)


def test_attention_of_this_library():
    model = tp.networks.vit(2, input_shape=(6, 6, 1), model_dim=8, feed_forward_dim=8, num_heads=2)
    _, before, after = act(model)
    changed = [
        place for place, (one, two) in enumerate(zip(before, after, strict=True)) if (one != two).any()
    ]
    assert len(changed) == 1
    old, new = before[changed[0]], after[changed[0]]
    assert new.shape == (8, 24)
    np.testing.assert_array_equal(new[:, 16:], old[:, 16:])  # the values
    for part in (new[:, :8], new[:, 8:16]):
        np.testing.assert_allclose(np.linalg.svd(part, compute_uv=False)[:-1], 1, atol=0.05)
    _, before, after = act(model, attention_only=False)
    changed = [(one != two).any() for one, two in zip(before, after, strict=True)]
    kernels = [each.ndim > 1 and each.shape != (4, 8) for each in before]  # positions are no kernel
    assert changed == kernels


def test_attention_of_keras():
    inputs = keras.Input((5, 8))
    x = keras.layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(x))
    names, before, after = act(model)
    changed = {name for name, one, two in zip(names, before, after, strict=True) if (one != two).any()}
    assert len(changed) == 2
    assert {each for each in names if each.split(":")[0].endswith(("query/kernel", "key/kernel"))} == changed


def test_a_network_without_a_graph_is_refused_in_one_line():
    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.attention = tp.layers.SelfAttention(1, name="attention")
            self.dense = keras.layers.Dense(3)

        def call(self, inputs):
            return self.attention(self.dense(inputs))

    model = Own()
    model(np.ones([1, 2, 4], np.float32))
    with pytest.raises(ValueError) as error:
        act(model)
    rule = "must have a layer with weights right before each SelfAttention, in a functional model"
    action = "Set `attention_only=False` to make all kernels orthogonal"
    assert str(error.value) == f"`model` {rule}. Received: 'attention'. {action}"
    _, before, after = act(model, attention_only=False)
    assert (before[0] != after[0]).any()


def test_a_kernel_of_zeros_stays():
    assert not nearest_orthogonal(np.zeros([1, 3, 2], np.float32), 3).numpy().any()
