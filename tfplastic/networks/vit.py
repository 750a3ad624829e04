"""A small vision transformer as in the paper; every size is an argument."""

from collections.abc import Sequence
from typing import Any

import gin

from tfplastic._checks import check_fraction, check_one_of, check_positive_integer
from tfplastic._keras import keras
from tfplastic._shared_arguments import shares_arguments
from tfplastic.layers import ClassToken, PositionEmbedding, RMSNormalization, SelfAttention
from tfplastic.networks import _size, parts

_NORMS = {"layer": keras.layers.LayerNormalization, "rms": RMSNormalization}
_POOLINGS = ("mean", "token")


@gin.register(module="tfplastic.networks")
@shares_arguments(
    parts.HiddenLayers,
    omit=("norms", "norm_affine", "spectral_norm_layers", "width"),
    norms=tuple(_NORMS),
    norm="layer",
    norm_epsilon=1e-6,
    activation="gelu",
)
def vit(
    num_outputs: int | Sequence[int],
    *,
    input_shape: Sequence[int] = (32, 32, 3),
    patch_size: int = 3,
    model_dim: int = 256,
    feed_forward_dim: int = 1024,
    num_blocks: int = 1,
    num_heads: int = 8,
    dropout: float = 0.1,
    pooling: str = "mean",
    settings: parts.HiddenLayers,
) -> keras.Model:
    """Builds patches -> + positions -> blocks of attention and feed-forward -> pooling -> linear.

    The vision transformer of Dosovitskiy et al. 2021, section 3.1, in the size of Lyle et al. 2023, appendix
    A.2: patches of 3 pixels by convolutional embeddings, model dimension 256, feed-forward dimension 1,024,
    one block, dropout 0.1. With the norms before, a block computes x + attention(norm(x)) and then
    x + feed_forward(norm(x)), and a last norm precedes the pooling.

    The patches are those of a convolution `patches` with stride `patch_size` and padding 'same', so no pixel
    is left out: 11 x 11 patches of a 32 x 32 image. The layers of a block are named `block1_qkv` (queries,
    keys and values side by side), `block1_attention`, `block1_mix`, `block1_hidden` and `block1_project`, the
    last is `output`; norms, dropout, sums and the nonlinearity are layers of their own. Dropout follows the
    positions and `mix`, `hidden` and `project` of each block. It is `SteppedDropout`, whose masks change by
    `tfplastic.layers.advance` alone, so that a resumed run draws the same masks as an uninterrupted one.

    Args:
        num_outputs: number of outputs; or a shape such as `(actions, bins)` for a categorical head.
        input_shape: `(height, width, channels)`; CIFAR-10's by default.
        seed: root seed of the initial weights and of dropout. Same seed, same weights and masks.
        patch_size: pixels of a patch, high and wide.
        model_dim: features of a position; a multiple of `num_heads`.
        feed_forward_dim: units of the hidden layer of each block.
        num_blocks: number of blocks.
        num_heads: heads of attention. The paper gives none; 8 is of Vaswani et al. 2017.
        dropout: fraction of the features that are zeroed while training, in [0, 1). The paper does not say
            where; the places are those of Dosovitskiy et al. 2021, appendix B.1.
        pooling: `'mean'` over all positions, or `'token'`: the final features of a class token, a trainable
            vector in front of the patches. The paper gives none.
        norm: None; `'layer'`: LayerNormalization, or `'rms'`: `RMSNormalization`, over the features of each
            position. The paper gives none; layer normalization is the standard.
        norm_position: `'before'` attention and feed-forward, as in Dosovitskiy et al. 2021; or `'after'` each
            sum, as in Vaswani et al. 2017, without a last norm.
        norm_epsilon: added to the variance, or the mean of squares. 1e-6 in Dosovitskiy et al.'s code.
        activation: name of an activation for the hidden layer of a block, as in `mlp`. GELU in Dosovitskiy et
            al.
        trim_width: whether `feed_forward_dim` is reduced to the largest number of units at which the network
            has no more trainable weights than with ReLU; for activations with two features for each unit.
        initializer: name of a Keras initializer for the kernels; biases and the class token start at zero,
            positions normal with a standard deviation of 0.02. The paper names none. Or `'pytorch'`, as in
            `mlp`.
        settings: settings of the hidden layers, see `HiddenLayers`.

    Returns:
        A `keras.Model` from `[batch, height, width, channels] float32` to `[batch, *num_outputs] float32`.

    Raises:
        ValueError: if a count, size, name or fraction is out of its range.

    Example:
        >>> import tfplastic as tp
        >>> network = tp.networks.vit(10, seed=0, model_dim=16, feed_forward_dim=32, num_heads=4)
        >>> network.output_shape, network.get_layer('positions').embedding.shape[0]
        ((None, 10), 121)
    """
    output_shape = parts.check_output_shape(num_outputs)
    shape = parts.check_image_shape("input_shape", input_shape)
    _check_patches(patch_size, shape)
    check_one_of("pooling", pooling, _POOLINGS)
    _check_block(num_heads, model_dim, feed_forward_dim, dropout)
    check_positive_integer("num_blocks", num_blocks)

    def num_feed_forward_weights(of: parts.HiddenLayers) -> int:
        return _size.dense([model_dim, of.widened(feed_forward_dim), model_dim], of.features_per_unit)

    settings = settings.trimmed(num_feed_forward_weights)
    hidden_dim = settings.widened(feed_forward_dim)
    of_block = 4 * model_dim**2 + num_feed_forward_weights(settings)  # queries, keys, values, mix; two more
    of_patches = _size.convolution(patch_size, shape[-1], model_dim)
    _size.check_size(
        of_patches + num_blocks * of_block + _size.dense([model_dim, _size.outputs(output_shape)]),
        {
            **{"patch_size": patch_size, "model_dim": model_dim, "feed_forward_dim": feed_forward_dim},
            **{"num_blocks": num_blocks, "num_outputs": num_outputs, "input_shape": input_shape},
        },
    )
    transformer = _Transformer(settings, dropout)

    inputs = keras.Input(shape, name="inputs")
    patches = settings.convolution(model_dim, patch_size, patch_size, "patches", shape[-1], padding="same")
    x = patches(inputs)
    x = keras.layers.Reshape((-1, model_dim), name="tokens", dtype=settings.dtype)(x)
    if pooling == "token":
        x = ClassToken(name="class_token", dtype=settings.dtype)(x)
    positions = parts.normal(0.02, settings.seed, "positions")
    x = PositionEmbedding(positions, name="positions", dtype=settings.dtype)(x)
    x = transformer.dropout("positions")(x)
    for number in range(1, num_blocks + 1):
        x = transformer.block(x, f"block{number}", num_heads, hidden_dim)
    if settings.norm_position == "before":
        x = transformer.normalized(x, "last")
    x = _pooled(x, pooling, settings.dtype)
    for layer in settings.head(output_shape, model_dim):
        x = layer(x)
    return keras.Model(inputs, x, name="vit")


def _check_patches(patch_size: int, shape: Sequence[int]) -> None:
    if check_positive_integer("patch_size", patch_size) > max(shape[:2]):
        rule = f"must be at most the {max(shape[:2])} pixels of an image"
        raise ValueError(f"`patch_size` {rule}. Received: {patch_size}")


def _check_block(num_heads: int, model_dim: int, feed_forward_dim: int, dropout: float) -> None:
    check_positive_integer("num_heads", num_heads)
    if check_positive_integer("model_dim", model_dim) % num_heads:
        raise ValueError(f"`model_dim` must be a multiple of the {num_heads} heads. Received: {model_dim}")
    check_positive_integer("feed_forward_dim", feed_forward_dim)
    if check_fraction("dropout", dropout) == 1:
        raise ValueError(f"`dropout` must be below 1. Received: {dropout!r}")


def _pooled(x: Any, pooling: str, dtype: str | None) -> Any:
    if pooling == "mean":
        return keras.layers.GlobalAveragePooling1D(name="pool", dtype=dtype)(x)
    x = keras.layers.Cropping1D((0, x.shape[1] - 1), name="first", dtype=dtype)(x)
    return keras.layers.Flatten(name="pool", dtype=dtype)(x)


class _Transformer:
    def __init__(self, hidden: parts.HiddenLayers, rate: float):
        self._hidden = hidden
        self._rate = rate

    def block(self, x: Any, name: str, num_heads: int, feed_forward_dim: int) -> Any:
        """Applies attention and feed-forward, each with its norm and sum, as in `vit`."""
        features = x.shape[-1]
        attention = [
            self._dense(3 * features, f"{name}_qkv", features),
            SelfAttention(num_heads, name=f"{name}_attention", dtype=self._hidden.dtype),
            self._dense(features, f"{name}_mix", features),
            self.dropout(f"{name}_mix"),
        ]
        feed_forward = [
            self._dense(feed_forward_dim, f"{name}_hidden", features),
            *self._hidden.nonlinearity(f"{name}_hidden"),
            self.dropout(f"{name}_hidden"),
            self._dense(features, f"{name}_project", feed_forward_dim * self._hidden.features_per_unit),
            self.dropout(f"{name}_project"),
        ]
        x = self._residual(x, attention, f"{name}_attention")
        return self._residual(x, feed_forward, f"{name}_feed_forward")

    def normalized(self, x: Any, name: str) -> Any:
        """Returns the normalization `<name>_norm` of each position, if there is one."""
        if self._hidden.norm is None:
            return x
        make, epsilon = _NORMS[self._hidden.norm], self._hidden.norm_epsilon
        return make(axis=-1, epsilon=epsilon, name=f"{name}_norm", dtype=self._hidden.dtype)(x)

    def dropout(self, name: str) -> keras.layers.Layer:
        """Returns dropout after the layer `name`, with a seed of its own."""
        return parts.dropout(self._rate, self._hidden.seed, name, self._hidden.dtype)

    def _residual(self, x: Any, layers: list[keras.layers.Layer], name: str) -> Any:
        before = self._hidden.norm_position == "before"
        y = self.normalized(x, name) if before else x
        for layer in layers:
            y = layer(y)
        y = keras.layers.Add(name=f"{name}_add", dtype=self._hidden.dtype)([x, y])
        return y if before else self.normalized(y, name)

    def _dense(self, units: int, name: str, fan_in: int) -> keras.layers.Layer:
        return self._hidden.dense(units, name, fan_in)
