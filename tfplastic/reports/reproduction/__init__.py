"""The reproduction of the paper: its 22 figures from committed runs, one page with verdicts and numbers."""

from tfplastic.reports.reproduction.committed import Committed, Grid
from tfplastic.reports.reproduction.page import FIGURE_FOLDER, Page, build
from tfplastic.reports.reproduction.writing import PAGE, TEXTS, write

__all__ = ["FIGURE_FOLDER", "PAGE", "TEXTS", "Committed", "Grid", "Page", "build", "write"]
