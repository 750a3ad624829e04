"""Networks next to their Brownian twins."""

import pandas as pd

from tfplastic.reports.page.content import Table
from tfplastic.reports.runs import Runs

_NETWORK, _TWIN = "diagnostics/", "brownian_twin/"
_NOTE = (
    "Of whole networks, medians over runs at the first and the last step at which both were measured. A twin"
    " starts where its network starts and makes random steps as long as the network's."
)


def twins(runs: Runs) -> Table:
    """Returns the diagnostics of whole networks and of their twins, early and late.

    Args:
        runs: some of which have twins.
    """
    columns = ["arm", "quantity", "step"]
    keys = ["run", *columns]
    both = _measured(runs, _NETWORK).merge(_measured(runs, _TWIN), on=keys, suffixes=("", "_twin"))
    steps = both.groupby(["arm", "quantity"])["step"]
    ends = both[(both["step"] == steps.transform("min")) | (both["step"] == steps.transform("max"))]
    medians = ends.groupby(columns, sort=False).agg(
        network=("value", "median"), twin=("value_twin", "median"), runs=("value", "size")
    )
    frame = medians.reset_index().sort_values(["arm", "quantity", "step"], kind="stable")
    return Table("twins", "Networks and their Brownian twins", frame.reset_index(drop=True), _NOTE)


def _measured(runs: Runs, prefix: str) -> pd.DataFrame:
    rows = runs.scalars(f"{prefix}*/all")
    names = [str(tag).removeprefix(prefix).removesuffix("/all").replace("_", " ") for tag in rows["tag"]]
    return pd.DataFrame(rows.assign(quantity=names)[["run", "arm", "quantity", "step", "value"]])
