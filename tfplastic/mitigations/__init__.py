"""Methods that change the loss, the gradients, or weights and optimizer slots to keep a network plastic."""

from tfplastic import _renames
from tfplastic.mitigations.fresh import WeightReinitializer
from tfplastic.mitigations.l2_init import L2Init
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.redo import ReDo
from tfplastic.mitigations.resampled_init import ResampledInit
from tfplastic.mitigations.reset_last_layer import ResetLastLayer
from tfplastic.mitigations.reset_optimizer_state import ResetOptimizerState
from tfplastic.mitigations.shrink_and_perturb import ShrinkAndPerturb
from tfplastic.mitigations.step_context import StepContext
from tfplastic.mitigations.unit_reset import UnitReset
from tfplastic.mitigations.weight_decay import WeightDecay

__all__ = [
    "L2Init",
    "Mitigation",
    "ResampledInit",
    "ReDo",
    "ResetLastLayer",
    "ResetOptimizerState",
    "ShrinkAndPerturb",
    "Slots",
    "StepContext",
    "UnitReset",
    "WeightDecay",
    "WeightReinitializer",
]

__getattr__ = _renames.module_getattr(__name__)
