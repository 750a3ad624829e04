"""Optimizers: Keras' with the constants of the papers, and each as pure functions."""

from tfplastic import _renames
from tfplastic.optimizers.adam import adam
from tfplastic.optimizers.adamw import PureAdamW, adamw
from tfplastic.optimizers.pure import (
    OptimizerState,
    PureAdam,
    PureCenteredRMSprop,
    PureOptimizer,
    PureSGD,
)
from tfplastic.optimizers.rmsprop import centered_rmsprop
from tfplastic.optimizers.sgd import sgd
from tfplastic.optimizers.slots import slots

__all__ = [
    "OptimizerState",
    "PureAdam",
    "PureAdamW",
    "PureCenteredRMSprop",
    "PureOptimizer",
    "PureSGD",
    "adam",
    "adamw",
    "centered_rmsprop",
    "sgd",
    "slots",
]

__getattr__ = _renames.module_getattr(__name__)
