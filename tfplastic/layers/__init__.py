"""Keras layers, one per file. No layer assigns a weight in `call`."""

from tfplastic.layers.advancing import Advancing, advance
from tfplastic.layers.rms_normalization import RMSNormalization
from tfplastic.layers.shared_bias import SharedBias
from tfplastic.layers.spectral_normalization import SpectralConv2D, SpectralDense
from tfplastic.layers.stepped_dropout import SteppedDropout

__all__ = [
    "Advancing",
    "RMSNormalization",
    "SharedBias",
    "SpectralConv2D",
    "SpectralDense",
    "SteppedDropout",
    "advance",
]
