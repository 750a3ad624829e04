"""Builders of networks; normalization, activation, width and head are arguments. Categorical heads."""

from tfplastic import _renames
from tfplastic.networks.categorical import (
    CategoricalHead,
    categorical_cross_entropy,
    expected_value,
    hl_gauss,
    two_hot,
)
from tfplastic.networks.cnn import cnn
from tfplastic.networks.minatar_cnn import minatar_cnn
from tfplastic.networks.mlp import mlp
from tfplastic.networks.nature_dqn import nature_dqn
from tfplastic.networks.replicated_mlp import replicated_mlp
from tfplastic.networks.resnet18 import resnet18
from tfplastic.networks.vit import vit

__all__ = [
    "CategoricalHead",
    "categorical_cross_entropy",
    "cnn",
    "expected_value",
    "hl_gauss",
    "minatar_cnn",
    "mlp",
    "nature_dqn",
    "replicated_mlp",
    "resnet18",
    "two_hot",
    "vit",
]

__getattr__ = _renames.module_getattr(__name__)
