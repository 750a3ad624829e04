"""Numbers that papers print, next to ours: one row each, from committed or new runs."""

from tfplastic.reports.published import early_warning, kumar, methods, online, regression
from tfplastic.reports.published.page import build, claims_table, judged, select, study_text
from tfplastic.reports.published.row import Judged, Row, Seeds, Study

ROWS = (kumar.ROWS[0], regression.ROW, *kumar.ROWS[1:], *online.ROWS)
"""The checks, in the order in which they are to be run."""

STUDIES = (methods.STUDY, early_warning.STUDY)
"""Experiments of our own with pages, in the order in which they are to be run, after `ROWS`."""

__all__ = [
    "ROWS",
    "STUDIES",
    "Judged",
    "Row",
    "Seeds",
    "Study",
    "build",
    "claims_table",
    "judged",
    "select",
    "study_text",
]
