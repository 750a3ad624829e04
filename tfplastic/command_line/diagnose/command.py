"""`bin/diagnose`: finds the command and runs it."""

import sys
from collections.abc import Sequence

from tfplastic.command_line import entry_point
from tfplastic.command_line.diagnose import options
from tfplastic.command_line.entry_point import refuse


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/diagnose`.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 if the output is written, 2 if the request cannot be carried out, 1 if it failed, 130
        if Ctrl-C stopped it. Where it is not 0, no output is new.
    """
    if not arguments:
        return refuse(options.usage(), "bin/diagnose --help explains the commands.")
    return entry_point.run("bin/diagnose", lambda: options.parse(arguments), _act)


def _act(call: options.Call) -> int:
    if call.command is None:
        sys.stdout.write(options.help_text())
    elif call.options is None or call.options.help:
        sys.stdout.write(call.command.help_text())
    else:
        call.command.act(call.options)
    return 0
