"""Results of one figure's runs, next to the paper's statements."""

import dataclasses
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes

from tfplastic.reports.reproduction.committed import Selection

NOT_RUN, UNDECIDED = "not run", "undecided"


@dataclasses.dataclass(frozen=True)
class Claim:
    """Statement of the paper, with our measurement.

    Attributes:
        name: name under which the page's texts explain a disagreement.
        paper: statement of the paper.
        ours: our measurement, with its numbers.
        agrees: None where the runs cannot say.
    """

    name: str
    paper: str
    ours: str
    agrees: bool | None

    @property
    def fails(self) -> bool:
        """Whether the runs contradict it."""
        return self.agrees is not None and not self.agrees


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Figure to draw.

    Attributes:
        name: name of its file, without ending.
        caption: subject of the picture.
        draw: on axes, within the style of reports.
        size: width and height, in inches.
    """

    name: str
    caption: str
    draw: Callable[[Axes], Axes]
    size: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Result:
    """Result for one figure of the paper.

    Attributes:
        selection: its runs.
        claims: the one that the figure is about first.
        numbers: shortest account of the result, '' without runs.
        drawings: in their order.
        tables: in Markdown.
        remarks: sentences.
    """

    selection: Selection
    claims: Sequence[Claim] = ()
    numbers: str = ""
    drawings: Sequence[Drawing] = ()
    tables: Sequence[str] = ()
    remarks: Sequence[str] = ()

    @property
    def is_judged(self) -> bool:
        """Returns whether there are enough runs to judge the figure's subject."""
        return bool(self.claims) and self.claims[0].agrees is not None

    @property
    def is_shown(self) -> bool:
        """Returns whether there are enough runs for numbers and figures: a few runs of many say little."""
        return self.is_judged or (bool(self.claims) and self.selection.is_complete)

    @property
    def verdict(self) -> str:
        """'agree', 'partly', 'not', 'undecided', or 'not run (k of n)'; with (k of n) where runs are missing.

        'agree' where all claims that could be judged hold, 'not' where none does. While the first claim, the
        figure's own, cannot be judged, the figure counts as not run, and with all of its runs as undecided.
        """
        judged = [claim.agrees for claim in self.claims if claim.agrees is not None]
        selection = self.selection
        if not self.is_judged:
            return UNDECIDED if self.is_shown else f"{NOT_RUN} ({selection.progress})"
        word = "agree" if all(judged) else "partly" if any(judged) else "not"
        if selection.is_earlier:
            return f"{word} (earlier runs; {selection.progress})"
        return word if selection.is_complete else f"{word} ({selection.progress})"
