"""Page of the 22 figures, in Markdown."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tfplastic.reports.figures import FIGURES
from tfplastic.reports.reproduction import abstract, numbers, texts
from tfplastic.reports.reproduction.committed import PARTS, TESTS, Committed, Selection
from tfplastic.reports.reproduction.result import NOT_RUN, UNDECIDED, Claim, Drawing, Result
from tfplastic.reports.reproduction.table import results
from tfplastic.reports.reproduction.texts import Texts

FIGURE_FOLDER = "figures"
"""Next to the page."""
_INTRODUCTION = "introduction"
_VERDICTS = ("agree", "partly", "not", UNDECIDED, NOT_RUN)
_WORDS = {True: "yes", False: "no", None: numbers.NONE}


class Page(NamedTuple):
    """A page.

    Attributes:
        text: the page in Markdown.
        drawings: figures that it shows, in `FIGURE_FOLDER`.
    """

    text: str
    drawings: Sequence[Drawing]


def build(committed: Committed, words: Texts, experiments: Mapping[str, Sequence[str]]) -> Page:
    """Makes the page of the committed runs.

    Args:
        committed: runs of all figures.
        words: texts that are not computed.
        experiments: {folder next to the page: the gin files that its runs are of}.
    """
    found = results(committed)
    of_abstract = abstract.claims(committed, found)
    parts = [
        "# The paper's figures",
        _front(found),
        _counts(found),
        words.get(_INTRODUCTION, {}).get("", ""),
        f"## {texts.ABSTRACT}",
        _claims(of_abstract),
        *_explanations(of_abstract, words.get(texts.ABSTRACT, {})),
    ]
    for number, result in found.items():
        parts += _section(number, result, words.get(texts.figure(number), {}), experiments)
    text = "\n\n".join(part for part in parts if part) + "\n"
    return Page(text, [drawing for result in found.values() for drawing in _shown(result)])


def _front(found: Mapping[int, Result]) -> str:
    rows = [
        [
            f"[{number}](#fig-{number})",
            FIGURES[number].title,
            result.verdict,
            result.numbers if result.is_shown else "",
        ]
        for number, result in found.items()
    ]
    return numbers.table(["figure", "subject", "verdict (finished runs)", "numbers"], rows)


def _shown(result: Result) -> Sequence[Drawing]:
    """Returns the figures of runs that are enough; a few runs of many make no picture."""
    return result.drawings if result.is_shown else ()


def _counts(found: Mapping[int, Result]) -> str:
    words = Counter(result.verdict.partition(" (")[0] for result in found.values())
    listed = ", ".join(f"{words[word]} {word}" for word in _VERDICTS if words[word])
    finished = {run.path for result in found.values() for run in result.selection.runs}
    return f"Of {len(found)} figures: {listed}. They use {len(finished)} finished runs."


def _claims(claims: Sequence[Claim]) -> str:
    return numbers.table(
        ["in the paper", "measured here", "agree"],
        [[claim.paper, claim.ours, _WORDS[claim.agrees]] for claim in claims],
    )


def _section(
    number: int, result: Result, words: Mapping[str, str], experiments: Mapping[str, Sequence[str]]
) -> list[str]:
    selection = result.selection
    title = f"## {texts.figure(number)}"
    parts = [title, f"**{FIGURES[number].title}**: {result.verdict}.", words.get(texts.PAPER, "")]
    parts += [
        f"![{drawing.caption}]({FIGURE_FOLDER}/{drawing.name}.png)\n\n{drawing.caption}"
        for drawing in _shown(result)
    ]
    if result.claims:
        parts.append(_claims(result.claims))
    parts += _explanations(result.claims, words)
    parts += [*result.tables, " ".join(result.remarks), words.get(texts.NOTES, "")]
    parts += [words.get(texts.EARLIER, "")] if selection.is_earlier else []
    parts += left_out(selection)
    return [*parts, _commands(number, experiments), _duration(result)]


def _explanations(claims: Sequence[Claim], words: Mapping[str, str]) -> list[str]:
    return [words.get(f"{texts.UNLESS}{claim.name}", "") for claim in claims if claim.fails]


def left_out(selection: Selection) -> list[str]:
    """Returns a paragraph that names the damaged runs; none where there is none."""
    return [f"Left out as damaged: {'; '.join(selection.damaged)}."] if selection.damaged else []


def _commands(number: int, experiments: Mapping[str, Sequence[str]]) -> str:
    parts = [*PARTS[number], *TESTS.get(number, ())]
    lines = [
        _command(folder, file)
        for folder in dict.fromkeys(part.folder for part in parts)
        for file in experiments.get(folder, ())
    ]
    return "\n".join(["```", *lines, "```"]) if lines else ""


def _command(folder: str, file: str) -> str:
    name = re.fullmatch(r"gin/paper/small/fig(\d\d)\.gin", file)
    if name:
        return f"make paper-small FIG={name[1]}"
    return f"bin/sweep --experiment={file} --run_root=runs/paper/{folder}"


def _duration(result: Result) -> str:
    """Returns the number of runs and the time they took."""
    selection = result.selection
    if not len(selection.runs):
        return ""
    seconds = sorted(numbers.durations(selection.runs))
    devices = dict.fromkeys(str(run.status.get("device", "")) for run in selection.runs)
    commits = dict.fromkeys(str(run.status.get("commit") or "")[:12] for run in selection.runs)
    known = [commit for commit in commits if commit]
    made = f" Trained at commit {', '.join(known)}." if known else ""
    took = (
        f", {sum(seconds) / 3600:.2f} hours of processor time in total,"
        f" {seconds[len(seconds) // 2]:.0f} s per run (median)"
        if seconds
        else ""
    )
    return f"{len(selection.runs)} runs{took}, on {', '.join(filter(None, devices))}.{made}"
