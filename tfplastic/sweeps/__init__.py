"""Many runs: the arms and seeds of an experiment, on one machine or a Ray cluster."""

from tfplastic.sweeps.experiment import Arm, Experiment
from tfplastic.sweeps.run_root import RunRoot

__all__ = ["Arm", "Experiment", "RunRoot"]
