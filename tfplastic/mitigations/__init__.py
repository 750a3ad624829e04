"""Methods that change the loss, the gradients, or weights and optimizer slots to keep a network plastic."""

from tfplastic import _renames
from tfplastic.mitigations.constraints.gradient_clipping import GradientClipping
from tfplastic.mitigations.constraints.normalize_and_project import NormalizeAndProject
from tfplastic.mitigations.constraints.weight_clipping import WeightClipping
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.network_resets.dash import DASH
from tfplastic.mitigations.network_resets.fire import FIRE
from tfplastic.mitigations.network_resets.hare_and_tortoise import HareAndTortoise
from tfplastic.mitigations.network_resets.plasticity_injection import PlasticityInjection
from tfplastic.mitigations.network_resets.reset_last_layer import ResetLastLayer
from tfplastic.mitigations.network_resets.reset_network import ResetNetwork
from tfplastic.mitigations.network_resets.reset_optimizer_state import ResetOptimizerState
from tfplastic.mitigations.network_resets.shrink_and_perturb import ShrinkAndPerturb
from tfplastic.mitigations.penalties.c_chain import CChain
from tfplastic.mitigations.penalties.infer import InFeR
from tfplastic.mitigations.penalties.l2_er import L2ER
from tfplastic.mitigations.penalties.l2_init import L2Init
from tfplastic.mitigations.penalties.parseval_regularization import ParsevalRegularization
from tfplastic.mitigations.penalties.resampled_init import ResampledInit
from tfplastic.mitigations.penalties.spectral_regularization import SpectralRegularization
from tfplastic.mitigations.penalties.wasserstein_init import WassersteinInit
from tfplastic.mitigations.penalties.weight_decay import WeightDecay
from tfplastic.mitigations.step_context import StepContext
from tfplastic.mitigations.unit_resets.continual_backprop import ContinualBackprop
from tfplastic.mitigations.unit_resets.grama import GraMa
from tfplastic.mitigations.unit_resets.partial_resets import PartialResets
from tfplastic.mitigations.unit_resets.redo import ReDo
from tfplastic.mitigations.unit_resets.self_normalized_resets import SelfNormalizedResets
from tfplastic.mitigations.unit_resets.unit_reset import UnitReset

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
