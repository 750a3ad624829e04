"""`make paper-report`: the page of the paper's figures, from the runs that are committed next to it."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfplastic._text.lines import one_line
from tfplastic.command_line import entry_point, flag_table
from tfplastic.command_line.entry_point import print_line
from tfplastic.command_line.flag_table import Flag
from tfplastic.configuration import gin_files
from tfplastic.configuration.errors import UsageError
from tfplastic.reports import reproduction
from tfplastic.sweeps import experiment_file
from tfplastic.sweeps.queue import queue_file

PROGRAM = "make paper-report"
QUEUE = "queue.txt"
OTHER_PAGE = "gin/published/"
"""Experiments of the queue that docs/published.md shows."""

_INTRODUCTION = """\
make paper-report makes README.md and figures/ in docs/paper from the runs that are committed there: a verdict
and numbers for each of the paper's 22 figures, whatever of the queue has been run.
"""
_USAGE = "Usage: make paper-report [ARGS='flags']\n"
_FLAGS = (
    Flag(
        flags.DEFINE_string,
        "folder",
        "docs/paper",
        "--folder=DIRECTORY",
        "Where runs, queue.txt and text.md are and the page goes. Default: docs/paper.",
    ),
    flag_table.DEBUG,
)


def main(arguments: Sequence[str]) -> int:
    """Runs the program.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 when the page is written, 2 if the request cannot be carried out, 1 if it failed.
    """
    return entry_point.run(PROGRAM, lambda: _parse(arguments), _act)


def _parse(arguments: Sequence[str]) -> flags.FlagValues:
    values, rest = flag_table.parse(PROGRAM, _FLAGS, arguments, {})
    if rest:
        raise UsageError(f"unexpected argument {rest[0]!r}. The folder is given as --folder=DIRECTORY")
    return values


def planned(folder: Path) -> tuple[dict[str, dict[str, list[int]]], dict[str, list[str]]]:
    """Returns the runs that there should be: in the queue and in each small form.

    Args:
        folder: folder that holds the queue's file.

    Returns:
        {folder of a figure: {arm: seeds}}, and {folder of a figure: gin files}.

    Raises:
        UsageError: the queue or an experiment is missing or malformed.
    """
    files: dict[str, list[str]] = {}
    for entry in queue_file.read(folder / QUEUE):
        if entry.experiment.startswith(OTHER_PAGE):
            continue
        files.setdefault(entry.figure, []).append(entry.experiment)
    queued = {file for of_figure in files.values() for file in of_figure}
    for path in sorted((gin_files.root() / "gin/paper/small").glob("fig[0-9][0-9].gin")):
        name = path.relative_to(gin_files.root()).as_posix()
        if name not in queued:
            files.setdefault(path.stem, []).insert(0, name)
    grid: dict[str, dict[str, list[int]]] = {}
    for figure, of_figure in files.items():
        arms = grid.setdefault(figure, {})
        for file in of_figure:
            experiment = experiment_file.read(file)
            for arm in experiment.arms:
                arms.setdefault(arm.name, []).extend(experiment.seeds)
    return grid, files


def _act(values: flags.FlagValues) -> int:
    if values.help:
        print_line(flag_table.help_text(_INTRODUCTION, _USAGE, _FLAGS, ""))
        return 0
    folder = Path(values.folder)
    if not folder.is_dir():
        raise UsageError(f"--folder must be a directory. Received: {values.folder!r}")
    grid, files = planned(folder)
    try:
        page = reproduction.write(reproduction.Committed(folder, grid), files)
    except (ValueError, OSError) as error:
        raise UsageError(one_line(error)) from error
    print_line(f"{folder / reproduction.PAGE}, figures drawn: {len(page.drawings)}")
    return 0
