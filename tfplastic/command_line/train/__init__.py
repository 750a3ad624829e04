"""`bin/train`: trains an agent as gin files describe. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.train.command import default_run_directory, main

__all__ = ["default_run_directory", "main"]
