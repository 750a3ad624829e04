"""Units: which weights are whose, and the statistics of each over a batch."""

from tfplastic import _renames

__getattr__ = _renames.module_getattr(__name__)
