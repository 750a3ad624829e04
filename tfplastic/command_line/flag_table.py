"""Flags as a table, from which come their definitions and the text of `--help`."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags

from tfplastic import _renames
from tfplastic._text.lines import one_line
from tfplastic._text.near_names import near_matches
from tfplastic._text.program_names import as_started
from tfplastic.configuration.errors import UsageError

_ONE_OF = "one of "  # how the rules of flags with choices begin
_HELP = "Print this text and exit."


class Flag(NamedTuple):
    """A flag.

    Attributes:
        define: one of absl's functions that define a flag.
        name: without the dashes.
        default: its value where it is not given.
        form: form of its value in `--help`.
        text: its explanation, with its default.
    """

    define: Any
    name: str
    default: Any
    form: str
    text: str


# The flags that several programs have.
DEVICE = Flag(
    flags.DEFINE_string,
    "device",
    "auto",
    "--device=auto|cpu|gpu|gpu:I",
    "Where TensorFlow computes: auto is the first GPU, or the CPU where there is none; gpu is gpu:0, and"
    " gpu:I the GPU that TensorFlow numbers I, an error where there is none. Default: auto.",
)
ALLOW_IMPORTS = Flag(
    flags.DEFINE_boolean,
    "allow_imports",
    False,
    "--[no]allow_imports",
    "Let gin files import Python modules, whose code then runs. Default: --noallow_imports.",
)
DEBUG = Flag(
    flags.DEFINE_boolean,
    "debug",
    False,
    "--[no]debug",
    "Show the traceback of an error, and all that TensorFlow says while it starts. Default: --nodebug.",
)


def parse(
    program: str, table: Sequence[Flag], arguments: Sequence[str], rules: Mapping[str, str]
) -> tuple[flags.FlagValues, list[str]]:
    """Returns the flags' values in `arguments`, `help` among them, and the arguments that are not flags.

    Args:
        program: its name in a clone.
        table: its flags.
        arguments: the command line without the program's name.
        rules: rule for the value of a flag, by name, for errors; 'true or false' where there is none.

    Raises:
        UsageError: a flag is unknown or its value is wrong.
    """
    # A set of flags of our own, because imported packages define dozens in the common one.
    values = flags.FlagValues()
    values.set_gnu_getopt()
    for flag in table:
        flag.define(flag.name, flag.default, flag.text, flag_values=values)
    flags.DEFINE_boolean("help", False, _HELP, flag_values=values, short_name="h")
    try:
        return values, values([as_started(program), *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UsageError(_renames.REMOVED_FLAGS.get(error.flagname, one_line(error))) from error
    except flags.IllegalFlagValueError as error:
        raise UsageError(_wrong_value(str(error), rules)) from error
    except flags.Error as error:
        raise UsageError(one_line(error)) from error


def help_text(introduction: str, usage: str, table: Sequence[Flag], examples: str) -> str:
    """Returns the text of `--help`: each flag with its unit and default, and examples."""
    lines = [introduction, usage, "Flags:"]
    for flag in table:
        lines.append(f"  {flag.form}")
        lines.append(textwrap.fill(flag.text, 108, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return as_started("\n".join([*lines, "  --help, -h", f"      {_HELP}", "", examples]))


def _wrong_value(text: str, rules: Mapping[str, str]) -> str:
    received = re.match(r"flag --(\w+)=(.*?): ", text)
    if received is None:
        return one_line(text)
    rule, choices = rules.get(received[1], "true or false"), ()
    if rule.startswith(_ONE_OF):
        choices = rule.removeprefix(_ONE_OF).split(", ")
    near = near_matches(received[2], choices)
    return f"--{received[1]} must be {rule}. Received: {received[2]!r}{f'.{near}' if near else ''}"
