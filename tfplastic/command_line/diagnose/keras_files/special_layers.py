"""Layers of Keras whose arguments may be dangerous: code, operations, names of files."""

from typing import Any

TENSORFLOW_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty")
"""Layers of Keras 2 around a function of TensorFlow or a method of a tensor, which the file names."""

_HIDDEN = {
    "Lambda": "whose code is in the file",
    "_RNNCellWrapper": "whose function may be in the file",
    "TensorFlowOpLayer": "which may be any operation of TensorFlow",
    "TFSMLayer": "which loads a SavedModel",
    "TorchModuleWrapper": "which unpickles code",
    "JaxLayer": "whose code is in the file",
    "FlaxLayer": "whose code is in the file",
    "_BaseFeaturesLayer": "which may read files",
}
_NAMES_OF_CODE = ("Lambda", "__lambda__", "TensorFlowOpLayer", "TFSMLayer", "TorchModuleWrapper")
_PURE_NAMESPACES = ("math", "nn", "linalg", "signal", "image", "quantization", "__operators__")
_PURE_KERAS = ("keras.activations", "keras.losses")
_PURE = frozenset(
    """argsort batch_to_space bitcast boolean_mask broadcast_dynamic_shape broadcast_static_shape broadcast_to
    cast clip_by_global_norm clip_by_norm clip_by_value complex concat constant convert_to_tensor einsum
    ensure_shape expand_dims eye fill gather gather_nd identity identity_n linspace meshgrid norm one_hot ones
    ones_like pad parallel_stack range rank realdiv repeat reshape reverse reverse_sequence roll saturate_cast
    scatter_nd searchsorted sequence_mask shape shape_n size slice sort space_to_batch space_to_batch_nd split
    squeeze stack stop_gradient strided_slice tensor_scatter_nd_add tensor_scatter_nd_max
    tensor_scatter_nd_min tensor_scatter_nd_sub tensor_scatter_nd_update tensordot tile transpose truncatediv
    truncatemod unique unique_with_counts unravel_index unstack where zeros zeros_like""".split()
)
_TENSOR_CLASSES = ("RaggedTensor", "SparseTensor")
_MEMBERS = frozenset(
    """bounding_shape flat_values merge_dims nested_row_lengths nested_row_splits nrows row_lengths
    row_limits row_splits row_starts to_sparse to_tensor uniform_row_length value_rowids values
    with_flat_values with_row_splits_dtype with_values""".split()
)
_FILES = ("vocabulary", "idf_weights")


def refused(name: str, config: Any) -> str:
    """Returns why an object is refused for its arguments, '' where it is not.

    Args:
        name: name of its class, or of a base of that.
        config: the arguments that it is made from.
    """
    if name in _NAMES_OF_CODE:
        return f"{_HIDDEN.get(name, 'whose code is in the file')}; --trust loads it"
    if name == "__typespec__":
        return "a type by name"
    given = config if isinstance(config, dict) else {}
    if name in ("TFOpLambda", "SlicingOpLambda") and not _is_pure(given.get("function")):
        return f"the operation {given.get('function')!r} of TensorFlow, which is not on the list of safe ones"
    if name == "ClassMethod":
        method = str(given.get("method_name", "_"))
        if given.get("cls_symbol") not in _TENSOR_CLASSES or method.startswith("_"):
            return f"the method {given.get('cls_symbol')}.{method} of TensorFlow"
    if name in ("InstanceMethod", "InstanceProperty") and given.get("attr_name") not in _MEMBERS:
        return f"the member {given.get('attr_name')!r} of a tensor"
    files = [given[key] for key in _FILES if isinstance(given.get(key), str)]
    if files:
        return f"which would read the file {files[0]!r}"
    if any(key.endswith("function_type") for key in given if isinstance(key, str)):
        return "whose code is in the file; --trust loads it"
    return ""


def hidden(found: Any) -> str:
    """Returns why a class of Keras is refused for all arguments, '' where it is not."""
    bases = [base.__name__ for base in getattr(found, "__mro__", ())]
    return next((_HIDDEN[name] for name in bases if name in _HIDDEN), "")


def _is_pure(symbol: Any) -> bool:
    """Returns whether a name of TensorFlow's is that of a function of tensors alone."""
    if not isinstance(symbol, str):
        return False
    namespace, _, name = symbol.removeprefix("compat.v1.").rpartition(".")
    if namespace in (*_PURE_NAMESPACES, *_PURE_KERAS):
        # Classes are not functions; tf.nn.fixed_unigram_candidate_sampler reads a file, rnn takes a cell.
        return not (name[:1].isupper() or "sampler" in name or "rnn" in name)
    return not namespace and name in _PURE
