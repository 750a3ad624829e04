"""A command of `bin/diagnose`: its name, its flags and its action."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

from tfplastic.command_line import flag_table
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration import device
from tfplastic.configuration.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """The flags that every command has; `--help` explains each."""

    run_dir: str | None
    checkpoint: int | None
    model: str | None
    trust_module: Sequence[str]
    trust: bool
    data: str | None
    out: str | None
    device: str
    debug: bool
    help: bool


@dataclasses.dataclass(frozen=True)
class Command:
    """One of the commands.

    Attributes:
        name: its name on the command line.
        summary: its purpose, for the list of commands; half a line.
        introduction: its purpose, in a few lines.
        usage: the forms of its use.
        examples: examples of its use.
        flags: its flags, without those of every program.
        rules: rule for the value of a flag, by name, for errors.
        options: the dataclass of its flags' values, with a field for each flag.
        check: function that raises `UsageError` unless the options go together; also given the names of the
            flags that are there.
        act: function that runs the command.
    """

    name: str
    summary: str
    introduction: str
    usage: str
    examples: str
    flags: Sequence[Flag]
    rules: Mapping[str, str]
    options: type[CommonOptions]
    check: Callable[[Any, Set[str]], None]
    act: Callable[[Any], None]

    @classmethod
    def of(cls, name: str, summary: str, options: Any, act: Callable[[Any], None]) -> "Command":
        """Returns the command whose texts, flags, rules and check are those of its module `options`."""
        texts = (options.INTRODUCTION, options.USAGE, options.EXAMPLES)
        return cls(name, summary, *texts, options.FLAGS, options.RULES, options.Options, options.check, act)

    def parse(self, arguments: Sequence[str]) -> Any:
        """Returns the options that `arguments`, without the command's name, give.

        Raises:
            UsageError: a flag is unknown, a value is wrong, flags do not go together, or there is an
                argument that is not a flag.
        """
        values: Any
        values, words = flag_table.parse("bin/diagnose", self._all_flags(), arguments, self.rules)
        fields = dataclasses.fields(self.options)
        given = self.options(**{field.name: values[field.name].value for field in fields})
        if given.help:
            return given
        if words:
            raise UsageError(f"unexpected argument {words[0]!r}. Flags are given as --name=value")
        self.check(given, {name for name in values if values[name].present})
        device.parse(given.device)
        return given

    def help_text(self) -> str:
        """Returns the text of its `--help`: each flag with its unit and default, and examples."""
        return flag_table.help_text(self.introduction, self.usage, self._all_flags(), self.examples)

    def _all_flags(self) -> list[Flag]:
        return [*self.flags, flag_table.DEVICE, flag_table.DEBUG]
