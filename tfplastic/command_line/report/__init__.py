"""`bin/report`: figures, tables and a page of runs. Nothing here imports TensorFlow."""

from tfplastic.command_line.report.command import main

__all__ = ["main"]
