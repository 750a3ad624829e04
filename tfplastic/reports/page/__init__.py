"""One self-contained HTML page of many runs, with its figures and tables as files."""

from tfplastic.reports.page.content import Material, Picture, Section, Table
from tfplastic.reports.page.writing import sections, write

__all__ = ["Material", "Picture", "Section", "Table", "sections", "write"]
