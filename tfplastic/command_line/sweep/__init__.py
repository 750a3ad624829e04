"""`bin/sweep`: trains all arms and seeds of an experiment. Nothing here imports TensorFlow."""

from tfplastic.command_line.sweep.command import main

__all__ = ["main"]
