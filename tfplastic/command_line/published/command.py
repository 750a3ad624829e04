"""`make published`: makes the runs of one published number and judges them, or writes the page of all."""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from tfplastic._text.near_names import near_matches
from tfplastic.command_line import entry_point, flag_table, sweep
from tfplastic.command_line.entry_point import print_line
from tfplastic.command_line.flag_table import Flag
from tfplastic.command_line.published import results_section
from tfplastic.configuration.errors import UsageError
from tfplastic.reports import published
from tfplastic.reports.reproduction.writing import draw
from tfplastic.sweeps import experiment_file
from tfplastic.writers import atomic_file

PROGRAM = "make published"

_INTRODUCTION = """\
make published NAME=... makes the runs of a published number, next to which its result is printed. Stop it at
any time: the same command continues. Without NAME it writes docs/published.md, docs/minatar.md,
docs/early_warning.md and the tables of docs/methods.md from the committed runs.
"""
_USAGE = "Usage: make published [NAME=name] [ARGS='flags']\n"
_ROWS = [row for page in published.PAGES for row in page.rows]
_ALL: dict[str, published.Row | published.Study] = {each.name: each for each in (*_ROWS, *published.STUDIES)}
_FLAGS = (
    Flag(
        flags.DEFINE_string,
        "name",
        "",
        "--name=NAME",
        f"The number or study: one of {', '.join(_ALL)}. Default: none, the pages are written.",
    ),
    Flag(
        flags.DEFINE_string,
        "docs",
        "docs",
        "--docs=DIRECTORY",
        "Where the pages go; committed runs are in its folder paper. Default: docs.",
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


def planned(row: published.Row | published.Study) -> dict[str, list[int]]:
    """Returns the runs of a row or a study that there should be, {arm: seeds}.

    Raises:
        UsageError: its experiment is missing or malformed.
    """
    experiment = experiment_file.read(row.experiment)
    return {arm.name: list(experiment.seeds) for arm in experiment.arms}


def _act(values: flags.FlagValues) -> int:
    if values.help:
        print_line(flag_table.help_text(_INTRODUCTION, _USAGE, _FLAGS, ""))
        return 0
    for flag in ("docs",) if values.name else ("run_root", "sweep_flags"):
        if values[flag].present:
            raise UsageError(f"--{flag} must be given {'without' if values.name else 'with'} --name")
    return _make(values) if values.name else _write(Path(values.docs))


def _write(docs: Path) -> int:
    if not docs.is_dir():
        raise UsageError(f"--docs must be a directory. Received: {str(docs)!r}")
    grid = {row.name: planned(row) for row in _ROWS}
    for each in published.PAGES:
        page = published.build(each, docs / "paper", grid)
        _save(docs / each.file, page.text)
        for drawing in page.drawings:
            draw(drawing, docs)
    for study in published.STUDIES:
        text = published.study_text(study, docs / "paper", planned(study), docs)
        path = docs / study.page
        _save(path, results_section.replaced(path, text) if study.page in results_section.PAGES else text)
    files = [*(page.file for page in published.PAGES), *(study.page for study in published.STUDIES)]
    print_line(f"Written from committed runs: {', '.join(str(docs / file) for file in files)}")
    return 0


def _save(path: Path, text: str) -> None:
    with atomic_file(path) as file:
        file.write(text.encode())


def _make(values: flags.FlagValues) -> int:
    if values.name not in _ALL:
        near = near_matches(values.name, _ALL)
        known = ", ".join(_ALL)
        raise UsageError(f"--name must be one of {known}. Received: {values.name!r}{near and '.'}{near}")
    chosen, root = _ALL[values.name], Path(values.run_root) / values.name
    code = sweep.main(
        [f"--experiment={chosen.experiment}", f"--run_root={root}", *values.sweep_flags.split()]
    )
    if code or not root.is_dir():  # nothing is there after --dry_run
        return code
    wanted = planned(chosen)
    runs = published.selection(chosen, root.parent, wanted)
    if isinstance(chosen, published.Study):
        parts = [chosen.write(runs.runs, wanted, str(root.parent))]
    else:
        found, verdict = published.judged(chosen, runs)
        parts = [f"{chosen.title} ({chosen.source}): {verdict}", published.claims_table(found)]
        parts += chosen.tables(runs.runs, wanted)
    print_line("\n" + "\n\n".join([*parts, *published.left_out(runs)]))
    return 0
