"""`make published`: makes the runs of one published number and judges them, or writes the page of all."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfplastic._text.near_names import near_matches
from tfplastic.command_line import entry_point, flag_table, sweep
from tfplastic.command_line.entry_point import print_line
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration.errors import UsageError
from tfplastic.reports import published, read_runs
from tfplastic.sweeps import experiment_file
from tfplastic.writers import atomic_file

PROGRAM = "make published"
PAGE = "published.md"

_INTRODUCTION = """\
make published NAME=... makes the runs of a published number, next to which its result is printed. Stop it at
any time: the same command continues. Without NAME it writes docs/published.md from the committed runs.
"""
_USAGE = "Usage: make published [NAME=name] [ARGS='flags']\n"
_FLAGS = (
    Flag(
        flags.DEFINE_string,
        "name",
        "",
        "--name=NAME",
        f"The number: one of {', '.join(row.name for row in published.ROWS)}."
        " Default: none, the page is written.",
    ),
    Flag(
        flags.DEFINE_string,
        "docs",
        "docs",
        "--docs=DIRECTORY",
        f"Where {PAGE} goes; committed runs are in its folder paper. Default: docs.",
    ),
    Flag(
        flags.DEFINE_string,
        "run_root",
        "runs/published",
        "--run_root=DIRECTORY",
        "Where the runs of a number are made, in a folder of its name. Default: runs/published.",
    ),
    Flag(
        flags.DEFINE_string,
        "sweep_flags",
        "",
        "--sweep_flags='FLAGS'",
        "Further flags of bin/sweep, apart by blanks, such as --dry_run. Default: none.",
    ),
    flag_table.DEBUG,
)


def main(arguments: Sequence[str]) -> int:
    """Runs the program.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 when the runs are made or the page is written, that of the sweep if it did not end,
        2 if the request cannot be carried out, 1 if it failed.
    """
    return entry_point.run(PROGRAM, lambda: _parse(arguments), _act)


def _parse(arguments: Sequence[str]) -> flags.FlagValues:
    values, rest = flag_table.parse(PROGRAM, _FLAGS, arguments, {})
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}. The number is given as --name=NAME")
    return values


def planned(row: published.Row) -> dict[str, list[int]]:
    """Returns the runs of a row that there should be, {arm: seeds}.

    Raises:
        UsageError: its experiment is missing or malformed.
    """
    experiment = experiment_file.read(row.experiment)
    return {arm.name: list(experiment.seeds) for arm in experiment.arms}


def _act(values: flags.FlagValues) -> int:
    if values.help:
        print_line(flag_table.help_text(_INTRODUCTION, _USAGE, _FLAGS, ""))
        return 0
    return _make(values) if values.name else _write(Path(values.docs))


def _write(docs: Path) -> int:
    if not docs.is_dir():
        raise UsageError(f"--docs must be a directory. Received: {str(docs)!r}")
    grid = {row.name: planned(row) for row in published.ROWS}
    text = published.build(published.ROWS, docs / "paper", grid)
    with atomic_file(docs / PAGE) as file:
        file.write(text.encode())
    print_line(f"{docs / PAGE}: {len(published.ROWS)} published numbers")
    return 0


def _make(values: flags.FlagValues) -> int:
    rows = {row.name: row for row in published.ROWS}
    if values.name not in rows:
        near = near_matches(values.name, rows)
        known = ", ".join(rows)
        raise UsageError(f"--name must be one of {known}. Received: {values.name!r}{near and '.'}{near}")
    row, root = rows[values.name], Path(values.run_root) / values.name
    code = sweep.main([f"--experiment={row.experiment}", f"--run_root={root}", *values.sweep_flags.split()])
    if code or not root.is_dir():  # nothing is there after --dry_run
        return code
    found, verdict = published.judged(row, published.select(read_runs(root), planned(row)))
    print_line(f"\n{row.title} ({row.source}): {verdict}\n\n{published.claims_table(found)}")
    return 0
