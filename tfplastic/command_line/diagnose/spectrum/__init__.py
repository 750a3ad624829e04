"""`bin/diagnose spectrum`. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command_table import Command
from tfplastic.command_line.diagnose.spectrum import action, options

COMMAND = Command(
    name="spectrum",
    summary="the eigenvalues of the loss Hessian, as numbers and as a figure",
    introduction=options.INTRODUCTION,
    usage=options.USAGE,
    examples=options.EXAMPLES,
    flags=options.FLAGS,
    rules=options.RULES,
    options=options.Options,
    check=options.check,
    act=action.act,
)

__all__ = ["COMMAND"]
