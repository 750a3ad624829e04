"""What may change the loss, the gradients, or weights and optimizer slots to keep a network plastic."""

from tfplastic.mitigations.fresh import FreshWeights
from tfplastic.mitigations.mitigation import Mitigation, Slots
from tfplastic.mitigations.reset_last_layer import ResetLastLayer
from tfplastic.mitigations.reset_optimizer_state import ResetOptimizerState
from tfplastic.mitigations.shrink_and_perturb import ShrinkAndPerturb
from tfplastic.mitigations.weight_decay import WeightDecay

__all__ = [
    "FreshWeights",
    "Mitigation",
    "ResetLastLayer",
    "ResetOptimizerState",
    "ShrinkAndPerturb",
    "Slots",
    "WeightDecay",
]
