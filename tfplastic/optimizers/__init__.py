"""Optimizers: Keras' with the constants of the papers, and each as pure functions."""

from tfplastic import _renames
from tfplastic.optimizers.ada_upgd import PureAdaUPGD, ada_upgd
from tfplastic.optimizers.adam import adam
from tfplastic.optimizers.adamo import PureAdamO, adamo
from tfplastic.optimizers.adamw import PureAdamW, adamw
from tfplastic.optimizers.muon import PureMuon, muon
from tfplastic.optimizers.obgd import PureObGD, obgd
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
from tfplastic.optimizers.trac import PureTRAC, trac
from tfplastic.optimizers.upgd import PureUPGD, upgd

__all__ = [
    "OptimizerState",
    "PureAdaUPGD",
    "PureAdam",
    "PureAdamO",
    "PureAdamW",
    "PureCenteredRMSprop",
    "PureMuon",
    "PureObGD",
    "PureOptimizer",
    "PureSGD",
    "PureTRAC",
    "PureUPGD",
    "ada_upgd",
    "adam",
    "adamo",
    "adamw",
    "centered_rmsprop",
    "muon",
    "obgd",
    "sgd",
    "slots",
    "trac",
    "upgd",
]

__getattr__ = _renames.module_getattr(__name__)
