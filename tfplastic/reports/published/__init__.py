"""Numbers that papers print, next to ours: one row each, from committed or new runs."""

from tfplastic.reports.published.contents import PAGES, ROWS, STUDIES
from tfplastic.reports.published.page import (
    build,
    claims_table,
    judged,
    select,
    selection,
    study_text,
)
from tfplastic.reports.published.row import Judged, Row, RowsPage, Seeds, Study
from tfplastic.reports.reproduction.page import left_out

__all__ = [
    "PAGES",
    "ROWS",
    "STUDIES",
    "Judged",
    "Row",
    "RowsPage",
    "Seeds",
    "Study",
    "build",
    "claims_table",
    "judged",
    "left_out",
    "select",
    "selection",
    "study_text",
]
