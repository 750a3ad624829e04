"""Names that changed, in run directories, gin files and Python code, and their translation to today's."""

from tfplastic._renames.table import (
    ENDS,
    GIN_FILES,
    MODULES,
    PYTHON,
    QUANTITIES,
    REMOVED_FLAGS,
    STEP_STATISTICS,
    accept_old_arguments,
    argument,
    configurable,
    gin_files,
    module_getattr,
    step_metric,
    tag,
    unknown_attribute,
)

__all__ = [
    "ENDS",
    "GIN_FILES",
    "MODULES",
    "PYTHON",
    "QUANTITIES",
    "REMOVED_FLAGS",
    "STEP_STATISTICS",
    "accept_old_arguments",
    "argument",
    "configurable",
    "gin_files",
    "module_getattr",
    "step_metric",
    "tag",
    "unknown_attribute",
]
