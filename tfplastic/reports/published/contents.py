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

`make runs` makes the runs that are missing here, in the order of the table, and commits them;
`make published` without a name writes this page. A number is one that the source, or a third party that is
named, has written down, with a tolerance of ours; a shape is that of a curve in a figure, of which nobody has
written down a number. A verdict is `agree` where all statements that can be judged hold, `partly` where some
do, and counts the runs while some are missing."""

ROWS = (kumar.ROWS[0], *regression.ROWS, *kumar.ROWS[1:], *online.ROWS)
"""Checks of supervised streams."""

PAGES = (RowsPage("published.md", _INTRODUCTION, ROWS), minatar.PAGE)

STUDIES = (early_warning.STUDY, methods.STUDY)
"""Experiments of our own with pages or parts of pages, in the order of the queue."""
