"""`make paper-report`: the page of the paper's figures. Nothing here imports TensorFlow."""

from tfplastic.command_line.paper_report.command import main, planned

__all__ = ["main", "planned"]
