"""The gradient step, the loop around it, and the files of a run."""

from tfplastic import _renames
from tfplastic.training.brownian_twin import BrownianTwin
from tfplastic.training.events.event import Event
from tfplastic.training.events.measurements.backward_transfer import BackwardTransfer
from tfplastic.training.events.measurements.next_task import NextTaskDiagnostics
from tfplastic.training.events.measurements.replicate_scores import ReplicateScores
from tfplastic.training.loop import Loop
from tfplastic.training.plastic_model import PlasticModel
from tfplastic.training.run.directory import RunDirectory, RunDirectoryError
from tfplastic.training.session import Session
from tfplastic.training.step import GradientStep, NonFiniteLossError, StepOutput
from tfplastic.training.train_config import TrainConfig

__all__ = [
    "BackwardTransfer",
    "BrownianTwin",
    "Event",
    "GradientStep",
    "Loop",
    "NextTaskDiagnostics",
    "NonFiniteLossError",
    "PlasticModel",
    "ReplicateScores",
    "RunDirectory",
    "RunDirectoryError",
    "Session",
    "StepOutput",
    "TrainConfig",
]

__getattr__ = _renames.module_getattr(__name__)
