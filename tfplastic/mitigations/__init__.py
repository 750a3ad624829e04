"""Methods that change the loss, the gradients, or weights and optimizer slots to keep a network plastic."""

from tfplastic import _renames
from tfplastic.mitigations.c_chain import CChain
from tfplastic.mitigations.continual_backprop import ContinualBackprop
from tfplastic.mitigations.dash import DASH
from tfplastic.mitigations.fire import FIRE
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.gradient_clipping import GradientClipping
from tfplastic.mitigations.grama import GraMa
from tfplastic.mitigations.hare_and_tortoise import HareAndTortoise
from tfplastic.mitigations.infer import InFeR
from tfplastic.mitigations.l2_er import L2ER
from tfplastic.mitigations.l2_init import L2Init
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.normalize_and_project import NormalizeAndProject
from tfplastic.mitigations.parseval_regularization import ParsevalRegularization
from tfplastic.mitigations.partial_resets import PartialResets
from tfplastic.mitigations.plasticity_injection import PlasticityInjection
from tfplastic.mitigations.redo import ReDo
from tfplastic.mitigations.resampled_init import ResampledInit
from tfplastic.mitigations.reset_last_layer import ResetLastLayer
from tfplastic.mitigations.reset_network import ResetNetwork
from tfplastic.mitigations.reset_optimizer_state import ResetOptimizerState
from tfplastic.mitigations.self_normalized_resets import SelfNormalizedResets
from tfplastic.mitigations.shrink_and_perturb import ShrinkAndPerturb
from tfplastic.mitigations.spectral_regularization import SpectralRegularization
from tfplastic.mitigations.step_context import StepContext
from tfplastic.mitigations.unit_reset import UnitReset
from tfplastic.mitigations.wasserstein_init import WassersteinInit
from tfplastic.mitigations.weight_clipping import WeightClipping
from tfplastic.mitigations.weight_decay import WeightDecay

__all__ = [
    "DASH",
    "FIRE",
    "L2ER",
    "CChain",
    "ContinualBackprop",
    "GraMa",
    "GradientClipping",
    "HareAndTortoise",
    "InFeR",
    "L2Init",
    "Mitigation",
    "NormalizeAndProject",
    "ParsevalRegularization",
    "PartialResets",
    "PlasticityInjection",
    "ReDo",
    "ResampledInit",
    "ResetLastLayer",
    "ResetNetwork",
    "ResetOptimizerState",
    "SelfNormalizedResets",
    "ShrinkAndPerturb",
    "Slots",
    "SpectralRegularization",
    "StepContext",
    "UnitReset",
    "WassersteinInit",
    "WeightClipping",
    "WeightDecay",
    "WeightReinitializer",
]

__getattr__ = _renames.module_getattr(__name__)
