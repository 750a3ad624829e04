"""`bin/diagnose probe`. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command_table import Command
from tfplastic.command_line.diagnose.probe import action, options

COMMAND = Command.of(
    "probe",
    "plasticity: how well a network still fits new targets, compared with fresh networks",
    options,
    action.act,
)

__all__ = ["COMMAND"]
