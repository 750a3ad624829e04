"""The format of a run directory: the names of its files, and `status.json`.

Whatever writes or reads run directories takes them from here. TensorFlow is not imported.
"""

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

from tfplastic import _renames

CONFIG_FILE = "config.gin"
OPERATIVE_CONFIG_FILE = "operative_config.gin"
METRICS_FILE = "metrics.csv"
METRICS_HEADER = b"step,tag,value\n"
STATUS_FILE = "status.json"
SWEEP_FILE = "sweep.json"  # of a folder of runs
LOCK_FILE = "run.lock"
ARRAYS_DIRECTORY = "arrays"
CHECKPOINTS_DIRECTORY = "checkpoints"
TENSORBOARD_DIRECTORY = "tensorboard"
STATES = ("starting", "running", "stopped", "finished", "failed")
ARRAY_FILE_ERRORS = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
"""Errors that numpy, zipfile and TensorFlow raise where an array file is missing, half-written or damaged."""

__getattr__ = _renames.module_getattr(__name__)
_KINDS = {
    "state": str,
    "step": int,
    "total_steps": int,
    "wall_time_s": (int, float),
    "cpu_time_s": (int, float),
    "versions": dict,
}


def parse_status(content: str | bytes) -> dict[str, Any]:
    """Returns the entries of a `status.json`.

    Args:
        content: content of the file.

    Raises:
        ValueError: it is not a JSON object, or an entry is not of its kind, such as a negative step.

    Example:
        >>> from tfplastic import run_format
        >>> run_format.parse_status('{"state": "running", "step": 5}')
        {'state': 'running', 'step': 5}
    """
    try:
        status = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(status, dict):
        raise ValueError(f"it must be a JSON object, not {type(status).__name__}")
    for name, value in status.items():
        if value is not None and not _is_well_formed(name, value):
            raise ValueError(f"its {name!r} must not be {value!r}")
    return status


def known_status(content: str | bytes | None) -> dict[str, Any]:
    """Returns the entries of a `status.json` that are as they should be; nothing of a garbled one.

    A status is a record and nothing is resumed from it, so that damage to it stops nothing.

    Args:
        content: content of the file; None where there is none.

    Example:
        >>> from tfplastic import run_format
        >>> run_format.known_status('{"state": "running", "step": -1}')
        {'state': 'running'}
        >>> run_format.known_status('{"state": "runn')
        {}
    """
    try:
        status = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(status, dict):
        return {}
    return {name: value for name, value in status.items() if _is_well_formed(name, value)}


def status_text(entries: Mapping[str, Any]) -> str:
    """Returns the content of a `status.json`, in which numbers that are not finite are null."""
    finite = {name: _finite_or_none(value) for name, value in entries.items()}
    return json.dumps(finite, indent=2, allow_nan=False) + "\n"


def _is_well_formed(name: str, value: Any) -> bool:
    kind = _KINDS.get(name)
    if kind is None:
        return True
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    return not isinstance(value, int | float) or 0 <= value < 2**63


def _finite_or_none(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
