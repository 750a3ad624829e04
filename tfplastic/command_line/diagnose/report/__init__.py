"""`bin/diagnose report`. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command_table import Command
from tfplastic.command_line.diagnose.report import action, options

COMMAND = Command.of(
    "report", "every layer: units, ranks, weights, gradients, curvature", options, action.act
)

__all__ = ["COMMAND"]
