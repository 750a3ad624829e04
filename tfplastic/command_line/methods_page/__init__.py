"""The page of all methods, docs/methods.md, which `make methods` writes."""

from tfplastic.command_line.methods_page.catalogue import FACTS, KINDS, Method, catalogue, facts_of
from tfplastic.command_line.methods_page.page import page
from tfplastic.command_line.methods_page.results import committed_results

__all__ = ["FACTS", "KINDS", "Method", "catalogue", "committed_results", "facts_of", "page"]
