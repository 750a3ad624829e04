"""One self-contained HTML page of many runs, with its figures and tables as files."""

from tfplastic import _renames
from tfplastic.reports.page.content import Picture, ReportInput, Section, Table
from tfplastic.reports.page.writing import sections, write

__all__ = ["ReportInput", "Picture", "Section", "Table", "sections", "write"]

__getattr__ = _renames.module_getattr(__name__)
