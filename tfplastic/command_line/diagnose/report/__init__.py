"""`bin/diagnose report`. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command_table import Command
from tfplastic.command_line.diagnose.report import action, options

COMMAND = Command(
    name="report",
    summary="every layer: units, ranks, weights, gradients, curvature",
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
