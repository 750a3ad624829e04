"""Reads what can be known of a Keras file and of data before TensorFlow is imported, which takes seconds."""

import json
import pathlib
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfplastic.command_line.errors import UsageError, one_line

_KEYS = (("x", "y"), ("x_train", "y_train"))
_INPUT_KEYS = (("x",), ("x_train",))


def keras_version(path: str) -> str:
    """The version of Keras that saved the `.keras` file at `path`, such as '3.15.1'.

    Raises:
        UsageError: there is no such file, or it is not in the format `.keras`.
    """
    return str(_read_json(path, "metadata.json", "keras_version"))


def saved_optimizer(path: str) -> dict[str, Any] | None:
    """The settings of the optimizer that the model in the `.keras` file at `path` was compiled with, if any.

    Raises:
        UsageError: there is no such file, or it is not in the format `.keras`.
    """
    compiled = _read_json(path, "config.json", "compile_config", None) or {}
    return compiled.get("optimizer")


def read_data(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets from the `.npz` file at `path`, under the keys x and y, or x_train and y_train.

    Raises:
        UsageError: there is no such file, it is no `.npz` file or lacks the keys; or the arrays are empty,
            not numbers, or not as long as each other.
    """
    x, y = _read_arrays(path, _KEYS, "the arrays x and y, or x_train and y_train")
    return x, y


def read_inputs(path: str) -> np.ndarray:
    """Inputs from the `.npz` file at `path`, under the key x or x_train.

    Raises:
        UsageError: as `read_data`.
    """
    return _read_arrays(path, _INPUT_KEYS, "the array x, or x_train")[0]


def _read_json(path: str, part: str, key: str, *default: Any) -> Any:
    if not pathlib.Path(path).is_file():
        raise UsageError(f"--model: no such file {path!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read(part))
        return content.get(key, *default) if default else content[key]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        rule = "must be in the format .keras, as model.save('name.keras') writes it"
        raise UsageError(f"--model {rule}. Received: {path!r}") from error


def _read_arrays(path: str, choices: Sequence[tuple[str, ...]], wanted: str) -> list[np.ndarray]:
    """The arrays of the first of `choices`, groups of keys, that the file has."""
    if not pathlib.Path(path).is_file():
        raise UsageError(f"--data: no such file {path!r}")
    try:
        with zipfile.ZipFile(path):  # numpy reads a file that is no archive in other ways, or as a pickle.
            pass
        with np.load(path) as arrays:
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
