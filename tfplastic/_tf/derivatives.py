"""Derivatives of derivatives that TensorFlow lacks or silently takes for zero.

TensorFlow differentiates a gradient by the derivatives of the operations in it. Some of these have none: to
ask for one is an error (`SoftsignGrad`), or is answered with None (`ResizeBilinearGrad`), which a tape turns
into zeros, so that a Hessian is silently wrong. While `checked_derivatives` is open, the derivatives known
here take their place, and every other gap on the way from variables to result is noted.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record
from tensorflow.python.eager.polymorphic_function import concrete_function
from tensorflow.python.framework import op_def_registry, ops

from tfplastic._keras import replaced_attribute

# From an operation, and the gradients of its outputs, to those of its inputs.
Rule = Callable[..., Any]

# Operations that TensorFlow registers as not differentiable, and rightly so: constant wherever they are
# smooth, or declared constant by their user.
_CONSTANT = frozenset({"OneHot", "OnesLike", "StopGradient", "ZerosLike"})

# Operations whose registered gradient forgets, in its own derivative, what it depends on.
_OPAQUE = frozenset({"EagerPyFunc", "PreventGradient"})


@dataclasses.dataclass(frozen=True)
class Gap:
    """An operation that cannot be differentiated, and where it is: its scope, which holds a layer's name."""

    operation: str
    scope: str

    def __str__(self) -> str:
        return f"the operation {self.operation}" + f" in '{self.scope}'" * bool(self.scope)


@contextlib.contextmanager
def checked_derivatives(is_strict: bool) -> Iterator[list[Gap]]:
    """While open, no derivative of traced operations is left out silently.

    Args:
        is_strict: for derivatives of derivatives: whether to use the rules known here, and to note operations
            that TensorFlow takes for constants. Else only those are noted for which it would raise an error.

    Yields:
        A list to which the gaps are added.
    """
    gaps: list[Gap] = []
    names = ("gradient_registry", "_gradient_registry")  # two names of one object, both in use
    original = ops.gradient_registry
    class_ = concrete_function.ConcreteFunction
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(replaced_attribute(ops, name, _Registry(original, is_strict, gaps)))
        if is_strict:
            fresh = _with_fresh_gradients(class_._select_forward_and_backward_functions)
            stack.enter_context(replaced_attribute(class_, "_select_forward_and_backward_functions", fresh))
        yield gaps


class _Registry:
    """TensorFlow's registry of gradients, with our rules, and without silence."""

    def __init__(self, original: Any, is_strict: bool, gaps: list[Gap]):
        self._original, self._is_strict, self._gaps = original, is_strict, gaps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)

    def lookup(self, name: str) -> Rule | None:
        if self._is_strict and name in _RULES:
            return _RULES[name]
        if self._is_strict and name in _OPAQUE:
            return self._gap(name)
        try:
            found = self._original.lookup(name)
        except LookupError:
            if "PartitionedCall" in name or name.startswith("__"):  # functions, which TensorFlow looks into
                raise
            return self._gap(name)
        if found is None:
            return self._gap(name) if self._is_strict and name not in _CONSTANT else None
        if not self._is_strict or op_def_registry.get(name) is None:  # a gradient that the user defines
            return found
        return self._guarded(name, _COMPLETED[name](found) if name in _COMPLETED else found)

    def _guarded(self, name: str, found: Rule) -> Rule:
        """Returns a rule that notes where TensorFlow's own fails, such as that of quantization."""

        def rule(op: Any, *gradients: Any) -> Any:
            try:
                return found(op, *gradients)
            except (LookupError, TypeError):
                return self._gap(name)(op, *gradients)

        return rule

    def _gap(self, name: str) -> Rule:
        def rule(op: Any, *gradients: Any) -> list[None]:
            if any(each is not None and each.dtype.is_floating for each in gradients):
                gap = Gap(name, _scope(op))
                if gap not in self._gaps:
                    self._gaps.append(gap)
            return [None] * _num_inputs(op)

        return rule


def _with_fresh_gradients(select: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a function traced before have its gradients made again, which TensorFlow keeps with it."""
    fresh: dict[int, tuple[Any, dict[Any, Any]]] = {}

    def selected(function: Any, *args: Any, **kwargs: Any) -> Any:
        _, own = fresh.setdefault(id(function), (function, {}))
        before, function._higher_order_tape_functions = function._higher_order_tape_functions, own
        try:
            return select(function, *args, **kwargs)
        finally:
            function._higher_order_tape_functions = before

    return selected


def _num_inputs(op: Any) -> int:
    # A tape keeps no inputs for an operation that TensorFlow does not differentiate.
    definition: Any = op_def_registry.get(op.type)
    return len(definition.input_arg if op.inputs is None else op.inputs)


def _scope(op: Any) -> str:
    # A tape's stand-in for the operation has no name, but opens the scope that the operation was made in.
    path = op.name.rpartition("/")[0] if isinstance(op, tf.Operation) else tf.get_current_name_scope()
    return "/".join(part for part in path.split("/") if part not in ("gradient_tape", "gradients"))


def _resize_bilinear_gradient(op: Any, gradient: tf.Tensor) -> list[Any]:
    """Returns the transpose, recorded with its own: of `ResizeBilinearGrad` a tape keeps no inputs."""
    size = tf.shape(gradient)[1:3]
    alignment = _alignment(op)
    with record.stop_recording():
        result = tf.raw_ops.ResizeBilinearGrad(grads=gradient, original_image=op.inputs[0], **alignment)

    def transposed(upstream: tf.Tensor) -> list[tf.Tensor]:
        return [tf.raw_ops.ResizeBilinear(images=upstream, size=size, **alignment)]

    record.record_operation("ResizeBilinearGrad", [result], [gradient], transposed)
    return [result, None]


def _resize_bilinear(op: Any, gradient: tf.Tensor) -> list[Any]:
    size = tf.shape(op.inputs[0])[1:3]
    return [tf.raw_ops.ResizeBilinear(images=gradient, size=size, **_alignment(op)), None]


def _resize_bicubic(op: Any, gradient: tf.Tensor) -> list[Any]:
    size = tf.shape(op.inputs[0])[1:3]
    return [tf.raw_ops.ResizeBicubic(images=gradient, size=size, **_alignment(op)), None]


def _resize_nearest(op: Any, gradient: tf.Tensor) -> list[Any]:
    size = tf.shape(op.inputs[0])[1:3]
    return [tf.raw_ops.ResizeNearestNeighbor(images=gradient, size=size, **_alignment(op)), None]


def _alignment(op: Any) -> dict[str, Any]:
    return {name: op.get_attr(name) for name in ("align_corners", "half_pixel_centers")}


def _scale_and_translate(op: Any, gradient: tf.Tensor) -> list[Any]:
    upstream, _, scale, translation = op.inputs
    resized = tf.raw_ops.ScaleAndTranslate(
        images=gradient,
        size=tf.shape(upstream)[1:3],
        scale=scale,
        translation=translation,
        kernel_type=op.get_attr("kernel_type"),
        antialias=op.get_attr("antialias"),
    )
    return [resized, None, None, None]


def _crop_and_resize_image(op: Any, gradient: tf.Tensor) -> list[Any]:
    upstream, boxes, indices, _ = op.inputs
    method = op.get_attr("method")
    crops = tf.raw_ops.CropAndResize(
        image=gradient,
        boxes=boxes,
        box_ind=indices,
        crop_size=tf.shape(upstream)[1:3],
        method=method.decode() if isinstance(method, bytes) else method,
    )
    along_boxes = tf.raw_ops.CropAndResizeGradBoxes(
        grads=upstream, image=gradient, boxes=boxes, box_ind=indices
    )
    return [crops, along_boxes, None, None]


def _max_pool_with_argmax(op: Any, gradient: tf.Tensor) -> list[Any]:
    _, upstream, argmax = op.inputs
    if op.get_attr("include_batch_in_index"):
        return [None, tf.gather(tf.reshape(gradient, [-1]), argmax), None]
    rows = tf.reshape(gradient, [tf.shape(gradient)[0], -1])
    places = tf.reshape(argmax, [tf.shape(argmax)[0], -1])
    return [None, tf.reshape(tf.gather(rows, places, batch_dims=1), tf.shape(upstream)), None]


def _max_pool_3d(op: Any, gradient: tf.Tensor) -> list[Any]:
    """Returns `gradient` at the maxima; TensorFlow's own kernel for overlapping windows is unsound.

    `MaxPool3DGradGrad` returned other numbers from one call to the next on a CPU (TensorFlow 2.21).
    """
    values = op.inputs[0]
    is_first = op.get_attr("data_format") in (b"NCDHW", "NCDHW")
    ksizes, strides = ([int(each) for each in op.get_attr(name)] for name in ("ksize", "strides"))
    if is_first:
        values, gradient = (tf.transpose(each, (0, 2, 3, 4, 1)) for each in (values, gradient))
        ksizes, strides = ([each[place] for place in (0, 2, 3, 4, 1)] for each in (ksizes, strides))
    padding = op.get_attr("padding")
    padding = padding.decode() if isinstance(padding, bytes) else padding

    def windows(tensor: tf.Tensor) -> tf.Tensor:  # [batch, depth, height, width, positions, channels]
        patches = tf.raw_ops.ExtractVolumePatches(
            input=tensor, ksizes=ksizes, strides=strides, padding=padding
        )
        return tf.reshape(patches, [*tf.unstack(tf.shape(patches)[:4]), -1, tf.shape(tensor)[-1]])

    above_padding = windows(values - tf.reduce_min(values) + 1)
    chosen = tf.one_hot(tf.argmax(above_padding, 4), tf.shape(above_padding)[4], axis=4, dtype=values.dtype)
    result = tf.reduce_sum(chosen * windows(gradient), 4)
    return [None, None, tf.transpose(result, (0, 4, 1, 2, 3)) if is_first else result]


def _softsign(op: Any, gradient: tf.Tensor) -> list[Any]:
    """Returns the gradients of g / (1 + |x|)^2 by g and by x."""
    upstream, features = op.inputs
    size = 1 + tf.abs(features)
    return [gradient / size**2, -2 * gradient * upstream * tf.sign(features) / size**3]


def _local_response_normalization(op: Any, gradient: tf.Tensor) -> list[Any]:
    """Returns the gradient of y_i = x_i n_i^-beta, n_i = bias + alpha sum_j x_j^2, j up to a radius from i.

    In operations that can be differentiated themselves, in place of TensorFlow's one, which cannot.
    """
    [values] = op.inputs
    radius = int(op.get_attr("depth_radius"))
    bias, alpha, beta = (float(op.get_attr(name)) for name in ("bias", "alpha", "beta"))
    depth = tf.shape(values)[-1]
    near = tf.abs(tf.range(depth)[:, tf.newaxis] - tf.range(depth)) <= radius
    window = tf.cast(near, values.dtype)  # [depth, depth], symmetric
    norm = bias + alpha * tf.tensordot(values**2, window, 1)
    inner = tf.tensordot(gradient * values * norm ** (-beta - 1), window, 1)
    return [gradient * norm**-beta - 2 * alpha * beta * values * inner]


def _with_labels(rule: Rule) -> Rule:
    """Returns TensorFlow's rule of a softmax' cross-entropy with the term that it forgets.

    The operation's second output is the gradient in the logits, softmax - labels, which `rule` differentiates
    in the logits alone. Labels that depend on weights are those of distillation and of entropies.
    """

    def complete(op: Any, of_losses: tf.Tensor, of_gradient: tf.Tensor | None) -> list[Any]:
        in_logits, in_labels = rule(op, of_losses, of_gradient)
        return [in_logits, in_labels if of_gradient is None else in_labels - of_gradient]

    return complete


_COMPLETED: dict[str, Callable[[Rule], Rule]] = {"SoftmaxCrossEntropyWithLogits": _with_labels}
_RULES: dict[str, Rule] = {
    "CropAndResizeGradImage": _crop_and_resize_image,
    "LRN": _local_response_normalization,
    "MaxPool3DGrad": _max_pool_3d,
    "MaxPoolGradWithArgmax": _max_pool_with_argmax,
    "ResizeBicubicGrad": _resize_bicubic,
    "ResizeBilinear": _resize_bilinear_gradient,
    "ResizeBilinearGrad": _resize_bilinear,
    "ResizeNearestNeighborGrad": _resize_nearest,
    "ScaleAndTranslateGrad": _scale_and_translate,
    "SoftsignGrad": _softsign,
}
