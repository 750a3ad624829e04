"""The flags of `bin/report`."""

import dataclasses
from collections.abc import Sequence

from absl import flags

from tfplastic.command_line import flag_table
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError

USAGE = """\
Usage: bin/report --runs=DIRECTORY [--runs=DIRECTORY ...] --out=DIRECTORY [flags]
"""

INTRODUCTION = """\
bin/report makes figures, tables and one HTML page of runs, next to the paper's numbers where it has some.
Failed, running and missing runs are shown as such.
"""

EXAMPLES = """\
Examples:
  A sweep, while it is running or when it is finished:
    bin/report --runs=runs/fig01 --out=runs/fig01/report

  Runs that bin/train made one by one, as the arms of an experiment:
    bin/report --runs=runs --experiment=gin/paper/small/fig06.gin --out=report
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """The flags of one call of `bin/report`; `--help` explains each."""

    runs: tuple[str, ...]
    experiment: str | None
    out: str | None
    title: str | None
    debug: bool
    help: bool


def parse(arguments: Sequence[str]) -> Options:
    """Returns the options that `arguments` (without the program's name) give.

    Raises:
        UsageError: a flag is unknown or its value is wrong, or an argument is not a flag.
    """
    values, rest = flag_table.parse("bin/report", _FLAGS, arguments, {})
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}. Runs are given as --runs=DIRECTORY")
    for name in ("experiment", "out", "title"):
        if values[name].value == "":
            raise UsageError(f"--{name} must not be empty")
    if "" in values.runs:
        raise UsageError("--runs must name a directory. Received: ''")
    return Options(
        runs=tuple(values.runs),
        experiment=values.experiment,
        out=values.out,
        title=values.title,
        debug=values.debug,
        help=values.help,
    )


def help_text() -> str:
    """Returns the text of `--help`: each flag with its default, and two examples."""
    return flag_table.help_text(INTRODUCTION, USAGE, _FLAGS, EXAMPLES)


_FLAGS = (
    Flag(
        flags.DEFINE_multi_string,
        "runs",
        [],
        "--runs=DIRECTORY",
        "A run root: every run directory at or below it is in the report, and where it or a directory in it"
        " has a sweep.json, so are the runs that this says there should be. May be given several times."
        " Required.",
    ),
    Flag(
        flags.DEFINE_string,
        "experiment",
        None,
        "--experiment=FILE",
        "A gin file that binds sweep.arms and sweep.seeds: the arms and seeds that there should be, and the"
        " order of arms. Directories are named ARM-seedSEED. Default: the entries of sweep.json.",
    ),
    Flag(
        flags.DEFINE_string,
        "out",
        None,
        "--out=DIRECTORY",
        "Where index.html, figures/ (PNG and SVG), tables/ (CSV and Markdown) and captions.md go; made as"
        " needed, and files of these names are replaced. Required.",
    ),
    Flag(
        flags.DEFINE_string,
        "title",
        None,
        "--title=TEXT",
        "Title of the page. Default: the name of the sweep's experiment, else of the first run root.",
    ),
    flag_table.DEBUG,
)
