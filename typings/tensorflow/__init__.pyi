# The stubs that pyright brings describe TensorFlow 2.18 and its Keras; they reject valid calls of 2.21.
from typing import Any

def __getattr__(name: str) -> Any: ...
