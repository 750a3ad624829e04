"""The commands of `bin/diagnose`, and the choice of one by a command line."""

from collections.abc import Sequence
from typing import NamedTuple

from tfplastic._text.near_names import near_matches
from tfplastic._text.program_names import as_started
from tfplastic.command_line.diagnose import probe, report, spectrum
from tfplastic.command_line.diagnose.command_table import Command, CommonOptions
from tfplastic.configuration.errors import UsageError

COMMANDS: dict[str, Command] = {
    command.name: command for command in (report.COMMAND, spectrum.COMMAND, probe.COMMAND)
}
_HELP = ("--help", "-h")


class Call(NamedTuple):
    """The request of a command line.

    Attributes:
        command: None for the list of commands.
        options: options of the command.
    """

    command: Command | None
    options: CommonOptions | None

    @property
    def debug(self) -> bool:
        """Whether errors show their traceback."""
        return self.options is not None and self.options.debug


def parse(arguments: Sequence[str]) -> Call:
    """Parses `arguments` (without the program's name), the command first.

    Raises:
        UsageError: the command is unknown, or does not take the rest.
    """
    first, *rest = [*arguments] or [""]
    if first in _HELP:
        return Call(None, None)
    if first not in COMMANDS:
        received = f" Received: {first!r}.{near_matches(first, COMMANDS)}" if first else ""
        raise UsageError(f"the first word must be a command: {', '.join(COMMANDS)}.{received}")
    command = COMMANDS[first]
    return Call(command, command.parse(rest))


def usage() -> str:
    """Returns the forms of all commands."""
    forms = "".join(command.usage.replace("Usage:", "      ") for command in COMMANDS.values())
    return forms.replace("      ", "Usage:", 1)


def help_text() -> str:
    """Returns the text of `--help` without a command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in COMMANDS.items()]
    text = "\n".join(
        [
            "bin/diagnose examines a trained network. It takes checkpoints of a run of bin/train,",
            "whose directory it otherwise only reads, or a Keras model (2 or 3) and data. Its commands:",
            "",
            *lines,
            "",
            f"{usage()}",
            "bin/diagnose COMMAND --help explains the flags of a command.\n",
        ]
    )
    return as_started(text)
