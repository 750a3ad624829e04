"""Keras layers, one per file. No layer assigns a weight in `call`, but `ActivationMonitor` in training."""

from tfplastic import _renames
from tfplastic.layers.activation_monitor import ActivationMonitor
from tfplastic.layers.advancing import Advancing, advance
from tfplastic.layers.attention.class_token import ClassToken
from tfplastic.layers.attention.position_embedding import PositionEmbedding
from tfplastic.layers.attention.self_attention import SelfAttention
from tfplastic.layers.dueling import Dueling
from tfplastic.layers.feature_pairs.crelu import CReLU
from tfplastic.layers.feature_pairs.deep_fourier import DeepFourier
from tfplastic.layers.noisy_dense import NoisyDense
from tfplastic.layers.rational import Rational
from tfplastic.layers.replicated_dense import ReplicatedDense
from tfplastic.layers.rms_normalization import RMSNormalization
from tfplastic.layers.shared_bias import SharedBias
from tfplastic.layers.spectral_normalization import SpectralConv2D, SpectralDense
from tfplastic.layers.stepped_dropout import SteppedDropout

__all__ = [
    "ActivationMonitor",
    "Advancing",
    "CReLU",
    "ClassToken",
    "DeepFourier",
    "Dueling",
    "NoisyDense",
    "PositionEmbedding",
    "RMSNormalization",
    "Rational",
    "ReplicatedDense",
    "SelfAttention",
    "SharedBias",
    "SpectralConv2D",
    "SpectralDense",
    "SteppedDropout",
    "advance",
]

__getattr__ = _renames.module_getattr(__name__)
