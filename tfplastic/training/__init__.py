"""The gradient step, the loop around it, and what a run leaves on disk."""

from tfplastic.training.loop import Loop, TrainConfig
from tfplastic.training.run_directory import RunDirectory, RunDirectoryError
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepOutput

__all__ = [
    "GradientStep",
    "Loop",
    "NonFiniteLossError",
    "RunDirectory",
    "RunDirectoryError",
    "StepOutput",
    "TrainConfig",
]
