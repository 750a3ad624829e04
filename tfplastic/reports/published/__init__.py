"""Numbers that papers print, next to ours: one row each, from committed or new runs."""

from tfplastic.reports.published import kumar, online, regression
from tfplastic.reports.published.page import build, claims_table, judged, select
from tfplastic.reports.published.row import Judged, Row

ROWS = (kumar.ROWS[0], regression.ROW, *kumar.ROWS[1:], *online.ROWS)
"""The checks, in the order in which they are to be run."""

__all__ = ["ROWS", "Judged", "Row", "build", "claims_table", "judged", "select"]
