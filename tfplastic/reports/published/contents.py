"""Pages of published numbers, and studies of our own, in the order in which they are to be run."""

from tfplastic.reports.published import early_warning, kumar, methods, minatar, online, regression
from tfplastic.reports.published.row import RowsPage

_INTRODUCTION = """\
# Published numbers

Numbers and shapes that papers print, next to those of this library, from the metrics that are committed in
[docs/paper](paper/README.md). One command makes the runs of a row again and judges them:

```
make published NAME=kumar_table2
```

`make runs` makes the missing runs of all pages, those of this one in the order of the table, and commits
them; `make published` without a name writes this page. A number was written down by the source or by a third
party, which is named; its tolerance is ours. A shape is that of a curve in a figure, of which nobody has
written down a number. A verdict is `agree` where all statements that can be judged hold, `partly` where some
do, `not` where none does, and `undecided` where the runs cannot judge the first one. `(k of n)` counts the
runs that there are while some are missing; `not run (k of n)` means that these do not suffice."""

ROWS = (kumar.ROWS[0], *regression.ROWS, *kumar.ROWS[1:], *online.ROWS)
"""Checks of supervised streams."""

PAGES = (RowsPage("published.md", _INTRODUCTION, ROWS), minatar.PAGE)

STUDIES = (early_warning.STUDY, methods.STUDY)
"""Experiments of our own with pages or parts of pages, in the order of the queue."""
