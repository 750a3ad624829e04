"""`bin/diagnose spectrum`. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command_table import Command
from tfplastic.command_line.diagnose.spectrum import action, options

COMMAND = Command.of(
    "spectrum", "the eigenvalues of the loss Hessian, as numbers and as a figure", options, action.act
)

__all__ = ["COMMAND"]
