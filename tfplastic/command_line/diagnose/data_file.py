"""The data of `--data`, read before TensorFlow is imported, which takes seconds."""

import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from tfplastic._text.lines import one_line
from tfplastic.configuration.errors import UsageError

_KEYS = (("x", "y"), ("x_train", "y_train"))
_INPUT_KEYS = (("x",), ("x_train",))


def read_data(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs and targets from the `.npz` file at `path`: keys x and y, or x_train and y_train.

    Raises:
        UsageError: there is no such file, it is not a `.npz` file or lacks the keys; or the arrays are empty,
            not numbers, or of different lengths.
    """
    x, y = _read_arrays(path, _KEYS, "the arrays x and y, or x_train and y_train")
    return x, y


def read_inputs(path: str) -> np.ndarray:
    """Returns inputs from the `.npz` file at `path`, under the key x or x_train.

    Raises:
        UsageError: see `read_data`.
    """
    return _read_arrays(path, _INPUT_KEYS, "the array x, or x_train")[0]


def has_targets(path: str) -> bool:
    """Returns whether the `.npz` file at `path` has targets, under the key y or y_train."""
    try:
        with zipfile.ZipFile(path) as archive:
            return not {"y.npy", "y_train.npy"}.isdisjoint(archive.namelist())
    except (OSError, zipfile.BadZipFile):  # which reading it says
        return False


def _read_arrays(path: str, choices: Sequence[tuple[str, ...]], wanted: str) -> list[np.ndarray]:
    """Returns the arrays of the first of `choices`, groups of keys, that the file has."""
    if not pathlib.Path(path).is_file():
        raise UsageError(f"--data: no such file {path!r}. Give the path of an .npz file")
    try:
        with zipfile.ZipFile(path):  # numpy reads any other file in other ways, or as a pickle.
            pass
        with np.load(path, allow_pickle=False) as arrays:
            keys = next((keys for keys in choices if set(keys) <= set(arrays.files)), ())
            there = ", ".join(arrays.files) or "none"
            found = [arrays[key] for key in keys]
    except (zipfile.BadZipFile, ValueError) as error:
        text = one_line(error)
        raise UsageError(f"--data must be an .npz file of numbers. Received: {path!r} ({text})") from error
    if not found:
        raise UsageError(f"--data must have {wanted}. Received: {there}")
    for key, array in zip(keys, found, strict=True):
        if array.dtype.kind not in "biuf" or array.ndim == 0 or len(array) == 0:
            received = f"{array.dtype} of shape {list(array.shape)}"
            raise UsageError(f"--data: {key} must be numbers of shape [examples, ...]. Received: {received}")
    lengths = [len(array) for array in found]
    if len(set(lengths)) > 1:
        received = " and ".join(map(str, lengths))
        raise UsageError(f"--data: {' and '.join(keys)} must be as long. Received: {received}")
    return found
