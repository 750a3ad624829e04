"""Keras layers, one per file. No layer assigns a weight in `call`."""

from tfplastic.layers.shared_bias import SharedBias

__all__ = ["SharedBias"]
