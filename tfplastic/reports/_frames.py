"""A few operations on tables, with one type each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd


def where(frame: pd.DataFrame, condition: Any) -> pd.DataFrame:
    """Returns the rows for which `condition` holds."""
    return pd.DataFrame(frame.loc[condition])


def groups(frame: pd.DataFrame, by: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yields (value or values of `by`, its rows), in the order in which they come first."""
    grouped: Any = frame.groupby(by, sort=False)
    yield from grouped


def floats(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Returns a column, `[rows] float64`."""
    return np.asarray(frame[column].to_numpy(), np.float64)
