"""The results of methods that are committed next to the page."""

from tfplastic.command_line.published import planned, results_section
from tfplastic.configuration import gin_files
from tfplastic.reports import published


def committed_results() -> str:
    """Returns the part of the page that `make published` writes, from the repository's committed runs."""
    (study,) = [each for each in published.STUDIES if each.page in results_section.PAGES]
    text = published.study_text(study, gin_files.root() / "docs/paper", planned(study))
    return results_section.marked(text)
