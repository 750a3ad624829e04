"""Page of the published numbers, in Markdown, from the runs that are committed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tfplastic.reports.published.row import Judged, Row, Seeds, Study
from tfplastic.reports.reproduction import numbers
from tfplastic.reports.reproduction.committed import Selection
from tfplastic.reports.reproduction.result import NOT_RUN, Result
from tfplastic.reports.runs import Runs, read_runs

_WORDS = {True: "yes", False: "no", None: numbers.NONE}
_INTRODUCTION = """\
Numbers and shapes that papers print, next to those of this library, from the metrics that are committed in
[docs/paper](paper/README.md). One command makes the runs of a row again and judges them:

```
make published NAME=kumar_table2
```

`make runs` makes the runs that are missing here, in the order of the table, and commits them;
`make published` without a name writes this page. A target with a tolerance is printed by its source; a shape
is that of a curve in a figure, of which nobody has written down a number. A verdict is `agree` where all
statements of the section hold, `partly` where some do, and counts the runs while some are missing."""


def select(runs: Runs, planned: Seeds) -> Selection:
    """Returns the finished runs of those that there should be."""
    wanted = {(arm, seed) for arm, seeds in planned.items() for seed in seeds}
    kept = runs.where(lambda run: run.state == "finished" and (run.arm, run.seed) in wanted)
    return Selection(kept, len({(run.arm, run.seed) for run in kept}), len(wanted))


def judged(row: Row, selection: Selection) -> tuple[Judged, str]:
    """Returns our result of a row, and the verdict, such as 'agree' or 'not run (3 of 15)'."""
    found = row.judge(selection.runs)
    return found, Result(selection, found.claims).verdict


def committed(row: Row, folder: Path, planned: Seeds) -> Selection:
    """Returns the runs of a row that are committed below `folder`."""
    path = folder / row.name
    return select(read_runs(path) if path.is_dir() else Runs([]), planned)


def study_text(study: Study, folder: Path, planned: Seeds, figures: Path | None = None) -> str:
    """Returns the text of a study from the runs that are committed below `folder`.

    Args:
        study: the study.
        folder: folder that holds a folder of its runs, on the page's `paper`.
        planned: the runs that there should be.
        figures: folder for its figures; None for none.
    """
    path = folder / study.name
    selection = select(read_runs(path) if path.is_dir() else Runs([]), planned)
    return study.write(selection.runs, planned, figures=figures)


def build(rows: Sequence[Row], folder: Path, planned: Mapping[str, Seeds], link: str = "paper") -> str:
    """Returns the page.

    Args:
        rows: the checks, in their order.
        folder: folder that holds a folder of runs for each row.
        planned: the runs that there should be, by name of the row.
        link: path of `folder` from the page.
    """
    lines, sections = [], []
    for row in rows:
        selection = committed(row, folder, planned[row.name])
        found, verdict = judged(row, selection)
        is_run = not verdict.startswith(NOT_RUN)
        lines.append(
            [
                row.title,
                row.source,
                row.target,
                found.ours if is_run else "",
                verdict,
                f"make published NAME={row.name}",
                _duration(selection.runs),
            ]
        )
        sections.append(_section(row, selection, found, verdict, link))
    columns = ["check", "source", "target", "ours", "verdict", "command", "processor time of a run"]
    parts = ["# Published numbers", _INTRODUCTION, numbers.table(columns, lines), numbers.NOTE, *sections]
    return "\n\n".join(parts) + "\n"


def claims_table(found: Judged) -> str:
    """Returns the statements of the source next to our measurements, as a table."""
    rows = [[claim.paper, claim.ours or numbers.NONE, _WORDS[claim.agrees]] for claim in found.claims]
    return numbers.table(["published", "ours", "holds"], rows)


def _section(row: Row, selection: Selection, found: Judged, verdict: str, link: str) -> str:
    parts = [f"## {row.title}", f"{row.source}. Verdict: {verdict}. Experiment: `{row.experiment}`."]
    if selection.there:
        parts.append(claims_table(found))
    parts += row.remarks
    arms = dict.fromkeys(run.arm for run in selection.runs)
    for arm in arms:
        of_arm = [run for run in selection.runs if run.arm == arm]
        listed = " ".join(f"[{run.seed}]({link}/{row.name}/{run.name})" for run in of_arm)
        parts.append(f"Runs of `{arm}`, by seed: {listed}")
    return "\n\n".join(parts)


def _duration(runs: Runs) -> str:
    seconds = numbers.durations(runs)
    if not seconds:
        return ""
    low, high = min(seconds), max(seconds)
    return f"{low:.0f} to {high:.0f} s" if high < 600 else f"{low / 60:.0f} to {high / 60:.0f} min"
