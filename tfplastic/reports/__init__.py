"""Run directories as tables, statistics and figures, next to the paper's numbers. Needs no TensorFlow.

"The paper" is Lyle et al. 2023, "Understanding plasticity in neural networks".

>>> from tfplastic import reports
>>> float(reports.aggregate.interquartile_mean({'Pong': [0.0, 1.0, 2.0, 9.0]}))
1.5
"""

try:
    import matplotlib  # noqa: F401
    import pandas  # noqa: F401
except ImportError as error:
    raise ImportError(f"tfplastic.reports needs {error.name}: pip install 'tfplastic[reports]'") from error

from tfplastic import _renames
from tfplastic.reports import aggregate, figures, style
from tfplastic.reports.agreement import agreement, missing_cells
from tfplastic.reports.paper import paper_cells, paper_numbers
from tfplastic.reports.runs import Arrays, Run, Runs, read_runs
from tfplastic.reports.statistics.atari_scores import human_normalized, improvement
from tfplastic.reports.statistics.factorial import probe_cells, probe_losses, with_factors
from tfplastic.reports.statistics.falsification import correlations, verdicts

__all__ = [
    "Arrays",
    "Run",
    "Runs",
    "aggregate",
    "agreement",
    "correlations",
    "figures",
    "human_normalized",
    "improvement",
    "missing_cells",
    "paper_cells",
    "paper_numbers",
    "probe_cells",
    "probe_losses",
    "read_runs",
    "style",
    "verdicts",
    "with_factors",
]

__getattr__ = _renames.module_getattr(__name__)
