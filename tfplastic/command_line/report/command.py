"""`bin/report`: flags, runs, page. Imports no TensorFlow."""

import os
import pathlib
import shlex
import sys
from collections.abc import Sequence, Sized

from tfplastic._text.lines import one_line
from tfplastic._text.program_names import as_started
from tfplastic.command_line import entry_point
from tfplastic.command_line.entry_point import print_line, refuse
from tfplastic.command_line.report import options
from tfplastic.configuration.errors import UsageError

_MOST_PROCESSES = 4


def main(arguments: Sequence[str]) -> int:
    """Runs `bin/report`.

    Args:
        arguments: the command line without the program's name.

    Returns:
        The exit code: 0 if the report is written, 2 if the request cannot be carried out, 1 if it failed, 130
        if Ctrl-C stopped it.
    """
    command = shlex.join([as_started("bin/report"), *arguments])
    return entry_point.run("bin/report", lambda: options.parse(arguments), lambda given: _act(given, command))


def _act(given: options.Options, command: str) -> int:
    if given.help:
        sys.stdout.write(options.help_text())
        return 0
    if not given.runs or given.out is None:
        lacking = "--out" if given.runs else "--runs"
        return refuse(options.USAGE, f"{lacking} is required. bin/report --help explains the flags.")
    for path in given.runs:
        if not os.path.isdir(path):
            raise UsageError(f"--runs must be a directory. Received: {path!r}")
    from tfplastic.reports import discovery, page  # pandas and Matplotlib, which take seconds

    grid = None if given.experiment is None else _grid(given.experiment)
    try:
        found = discovery.find(given.runs, grid)
    except ValueError as error:
        raise UsageError(f"--runs: {one_line(error)}") from error
    if not len(found.runs) and not found.runs.missing():
        raise UsageError(
            f"--runs: no run directory at or below {' or '.join(given.runs)}. Name one of bin/train"
        )
    _check_out(given.out)
    experiment = given.experiment or found.experiment
    name = pathlib.Path(experiment).stem if experiment else pathlib.Path(given.runs[0]).resolve().name
    contents = page.ReportInput(found.runs, given.title or name, command, found.errors)
    path = page.write(contents, given.out, num_processes=min(_MOST_PROCESSES, os.cpu_count() or 1))
    print_line(f"{_count(found.runs, 'run')} of {_count(found.runs.arms, 'arm')}: {path}")
    for line in [line for line in found.runs.problems()][:5]:
        print_line(f"  {line}")
    return 0


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _grid(file: str) -> dict[str, list[int]]:
    from tfplastic.sweeps import experiment_file

    experiment = experiment_file.read(file)
    return {arm.name: list(experiment.seeds) for arm in experiment.arms}


def _check_out(out: str) -> None:
    path = pathlib.Path(out).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"--out: cannot write to {out!r}. Choose another directory")
