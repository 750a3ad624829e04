"""Builders of networks; normalisation, activation, width and head are arguments. Categorical heads."""

from tfplastic.networks.categorical import (
    CategoricalHead,
    categorical_cross_entropy,
    expected_value,
    hl_gauss,
    two_hot,
)
from tfplastic.networks.cnn import cnn
from tfplastic.networks.mlp import mlp
from tfplastic.networks.nature_dqn import nature_dqn

__all__ = [
    "CategoricalHead",
    "categorical_cross_entropy",
    "cnn",
    "expected_value",
    "hl_gauss",
    "mlp",
    "nature_dqn",
    "two_hot",
]
