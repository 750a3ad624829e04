"""The gradient step, the loop around it, and what a run leaves on disk."""

from tfplastic import _renames
from tfplastic.training.brownian_twin import BrownianTwin
from tfplastic.training.loop import Loop, TrainConfig
from tfplastic.training.plastic_model import PlasticModel
from tfplastic.training.run.directory import RunDirectory, RunDirectoryError
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepOutput

__all__ = [
    "BrownianTwin",
    "GradientStep",
    "Loop",
    "NonFiniteLossError",
    "PlasticModel",
    "RunDirectory",
    "RunDirectoryError",
    "StepOutput",
    "TrainConfig",
]

__getattr__ = _renames.module_getattr(__name__)
