"""`bin/diagnose probe`. Nothing here imports TensorFlow on import."""

from tfplastic.command_line.diagnose.command_table import Command
from tfplastic.command_line.diagnose.probe import action, options

COMMAND = Command(
    name="probe",
    summary="plasticity: how well a network still fits new targets, compared with fresh networks",
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
