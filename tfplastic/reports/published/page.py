"""Page of the published numbers, in Markdown, from the runs that are committed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfplastic.reports.published.row import Judged, Row, RowsPage, Seeds, Study
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Selection
from tfplastic.reports.reproduction.page import Page, left_out
from tfplastic.reports.reproduction.result import NOT_RUN, Drawing, Result
from tfplastic.reports.runs import Run, Runs, read_runs

_WORDS = {True: "yes", False: "no", None: numbers.NONE}
_NOTE = f"{numbers.NOTE} Where a check has other intervals, its section says so."
_COLUMNS = ("check", "source", "target", "ours", "verdict", "command", "processor time of a run")
_SHORT = 600  # seconds, above which a duration is in minutes


def select(runs: Runs, planned: Seeds, needs: Sequence[str] = ()) -> Selection:
    """Returns the finished runs of those that there should be, and names those that are damaged.

    Args:
        runs: the runs that are there.
        planned: the runs that there should be.
        needs: tags of scalars without one of which a finished run is damaged.
    """
    wanted = {(arm, seed) for arm, seeds in planned.items() for seed in seeds}
    of_plan = runs.where(lambda run: (run.arm, run.seed) in wanted)
    problems = {run.name: _problem(run, needs) for run in of_plan}
    kept = of_plan.where(lambda run: run.state == "finished" and not problems[run.name])
    lines = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    return Selection(kept, len({(run.arm, run.seed) for run in kept}), len(wanted), damaged=lines)


def _problem(run: Run, needs: Sequence[str]) -> str:
    """Describes the damage of a run; '' where there is none, or where it has not finished."""
    if run.errors or run.state != "finished":
        return "; ".join(run.errors)
    absent = sorted(set(needs) - set(run.metrics["tag"]))
    return f"metrics.csv has no {absent[0]}" if absent else ""


def judged(row: Row, chosen: Selection) -> tuple[Judged, str]:
    """Returns our result of a row, and the verdict, such as 'agree' or 'not run (3 of 15)'."""
    found = row.judge(chosen.runs)
    return found, Result(chosen, found.claims).verdict


def selection(row: Row | Study, folder: Path, planned: Seeds) -> Selection:
    """Returns the runs of a row or a study in the folder of its name below `folder`."""
    path = folder / row.name
    needs = row.needs if isinstance(row, Row) else ()
    return select(read_runs(path) if path.is_dir() else Runs([]), planned, needs)


def study_text(study: Study, folder: Path, planned: Seeds, figures: Path | None = None) -> str:
    """Returns the text of a study from the runs that are committed below `folder`.

    Args:
        study: the study.
        folder: folder that holds a folder of its runs, on the page's `paper`.
        planned: the runs that there should be.
        figures: folder for its figures; None for none.
    """
    found = selection(study, folder, planned)
    text = study.write(found.runs, planned, figures=figures)
    return "\n\n".join([text.rstrip("\n"), *left_out(found)]) + "\n"


def build(page: RowsPage, folder: Path, planned: Mapping[str, Seeds], link: str = "paper") -> Page:
    """Returns a page with the figures that it shows, which lie next to it.

    Args:
        page: page to make.
        folder: folder that holds a folder of runs for each row.
        planned: the runs that there should be, by name of the row.
        link: path of `folder` from the page.
    """
    selections = {row.name: selection(row, folder, planned[row.name]) for row in page.rows}
    judgements = {row.name: judged(row, selections[row.name]) for row in page.rows}
    lines = [_line(row, selections[row.name], *judgements[row.name]) for row in page.rows]
    parts = [page.introduction, numbers.table(_COLUMNS, lines), _NOTE]
    drawings: list[Drawing] = []
    for row in page.rows:
        found = selections[row.name]
        shown = row.drawings(found.runs) if found.there else ()
        parts += _section(row, found, *judgements[row.name], planned[row.name], shown, link)
        drawings += shown
    return Page("\n\n".join(parts) + "\n", drawings)


def _line(row: Row, chosen: Selection, found: Judged, verdict: str) -> list[str]:
    """Returns the row's line of the table that the page begins with."""
    ours = "" if verdict.startswith(NOT_RUN) else found.ours
    return [row.title, row.source, row.target, ours, verdict, _command(row), _duration(chosen.runs)]


def _section(
    row: Row,
    chosen: Selection,
    found: Judged,
    verdict: str,
    planned: Seeds,
    drawings: Sequence[Drawing],
    link: str,
) -> list[str]:
    duration = _duration(chosen.runs)
    how = f"`{_command(row)}` makes its runs" + (f", {duration} of processor time each." if duration else ".")
    parts = [f"## {row.title}", f"{row.source}. Verdict: {verdict}. Experiment: `{row.experiment}`; {how}"]
    parts += [claims_table(found), *row.tables(chosen.runs, planned)]
    parts += [f"![{each.caption}]({each.name}.png)\n\n{each.caption}" for each in drawings]
    return [*parts, *row.remarks, *left_out(chosen), *_links(chosen.runs, f"{link}/{row.name}")]


def claims_table(found: Judged) -> str:
    """Returns the statements of the source next to our measurements, as a table."""
    rows = [[claim.paper, claim.ours or numbers.NONE, _WORDS[claim.agrees]] for claim in found.claims]
    return numbers.table(["statement", "ours", "holds"], rows)


def _command(row: Row) -> str:
    return f"make published NAME={row.name}"


def _links(runs: Runs, folder: str) -> list[str]:
    """Returns a line for each arm, with links to its runs."""
    by_arm = {arm: runs.where(lambda run, arm=arm: run.arm == arm) for arm in runs.arms}
    return [
        f"Runs of `{arm}`, by seed: {' '.join(f'[{run.seed}]({folder}/{run.name})' for run in of_arm)}"
        for arm, of_arm in by_arm.items()
    ]


def _duration(runs: Runs) -> str:
    seconds = numbers.durations(runs)
    if not seconds:
        return ""
    unit, of = ("s", 1) if max(seconds) < _SHORT else ("min", 60)
    ends = dict.fromkeys(f"{end / of:.0f}" for end in (min(seconds), max(seconds)))
    return f"{' to '.join(ends)} {unit}"
