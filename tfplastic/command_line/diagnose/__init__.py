"""`bin/diagnose`: diagnoses of trained networks. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command import main

__all__ = ["main"]
