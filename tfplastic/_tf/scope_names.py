"""Names of layers that TensorFlow's graphs do not take, such as those with spaces or accents."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from tfplastic._keras import replaced_attribute

# TensorFlow takes '>' too, but not at an end.
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_./-]|^[^A-Za-z0-9.]")


@contextlib.contextmanager
def any_scope_name() -> Iterator[None]:
    """While open, characters that the names of operations cannot have are dots in them.

    Keras 3 runs eagerly with any name, and names the operations of a graph after its layers.
    """
    original: Any = tf.Graph.name_scope

    def name_scope(graph: Any, name: Any) -> Any:
        return original(graph, _FORBIDDEN.sub(".", name) if isinstance(name, str) else name)

    with replaced_attribute(tf.Graph, "name_scope", name_scope):
        yield
