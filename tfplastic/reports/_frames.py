"""A few operations on tables, with one type each."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tfplastic._checks import shown


def check_columns(name: str, frame: Any, columns: Sequence[str]) -> pd.DataFrame:
    """Returns `frame` if it is a frame of pandas with these columns, else raises an error of that name."""
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"`{name}` must be a pandas.DataFrame. Received: {shown(frame)}")
    absent = [column for column in columns if column not in frame]
    if absent:
        rule = f"must have the columns {', '.join(map(str, columns))}"
        raise ValueError(f"`{name}` {rule}. Received: no {absent[0]!r}")
    return frame


def where(frame: pd.DataFrame, condition: Any) -> pd.DataFrame:
    """Returns the rows for which `condition` holds."""
    return pd.DataFrame(frame.loc[condition])


def groups(frame: pd.DataFrame, by: str | list[str]) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yields (value or values of `by`, its rows), in the order in which they come first."""
    grouped: Any = frame.groupby(by, sort=False)
    yield from grouped


def mapped(column: Any, function: Callable[[Any], Any]) -> Any:
    """Returns an array of `function` of each value, which is called once for each that differs."""
    places, distinct = pd.factorize(column)
    return pd.Series([function(each) for each in distinct]).take(places).array


def floats(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Returns a column, `[rows] float64`."""
    return np.asarray(frame[column].to_numpy(), np.float64)
