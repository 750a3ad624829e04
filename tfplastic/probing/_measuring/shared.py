"""A probe whose results are kept in a folder, for all who make the same one."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

import tfplastic
from tfplastic import _source
from tfplastic.probing._measuring.inputs import digest
from tfplastic.probing._training.optimizers import settings_of
from tfplastic.probing._training.reinitialized import architecture, weights_of
from tfplastic.probing.result import FreshNetworks, ProbeResult
from tfplastic.run_format import ARRAY_FILE_ERRORS
from tfplastic.writers import atomic_file

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_UNNAMED = re.compile(r"<lambda>|<locals>")
_FRESH = "fresh_"
_STANDARDIZED = "standardized_"


class SharedProbe:
    """A `Probe` that reads the result of an equal one where there is one.

    The same are weights, architecture, inputs, settings of the optimizer, protocol and version of this
    library: its number, its commit and whether files differ from that. A probe is not shared where equality
    cannot be decided from outside of the process: with `make_model`, a copied state of the optimizer, or
    functions without a name.

    Args:
        probe: a `Probe`.
        directory: directory with a file for each result; made as needed. Several processes may use it at
            once.
    """

    def __init__(self, probe: Any, directory: Path):
        self._probe = probe
        self._directory = directory

    def measure(self, model: Any, inputs: Any, optimizer: Any) -> ProbeResult:
        """Returns the result of `Probe.measure`."""
        key = self._key(model, inputs, optimizer)
        path = self._directory / f"{key}.npz"
        shared = _load(path) if key else None
        if shared is not None:
            logging.info("The probe is that in %s, which another run has made.", path)
            return shared
        result = self._probe.measure(model, inputs, optimizer)
        if key:
            try:
                _save(path, result)
            except OSError as error:
                logging.warning("The probe cannot be shared in %s: %s.", self._directory, error.strerror)
        return result

    def _key(self, model: Any, inputs: Any, optimizer: Any) -> str:
        """Returns a digest of everything that decides on the result; '' if it cannot be known."""
        probe = self._probe
        if probe.make_model is not None or probe.optimizer_state == "copied":
            return ""
        protocol = {name: value for name, value in vars(probe).items() if name not in ("cache", "optimizer")}
        settings = settings_of(probe.optimizer_of(model, optimizer))
        said = repr((architecture(model, None), settings, protocol))
        if _UNNAMED.search(said):
            return ""
        arrays = (weights_of(model), inputs)
        code = (tfplastic.__version__, *_source.of_package())
        text = f"{code} {_ADDRESS.sub('', said)} {[digest(each) for each in arrays]}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _save(path: Path, result: ProbeResult) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        np.savez_compressed(file, **_arrays(result))


def _arrays(result: ProbeResult) -> dict[str, Any]:
    return {"how": np.array(result.how), "notes": np.array(result.notes, "U"), **result.arrays()}


def _load(path: Path) -> ProbeResult | None:
    """Returns the result in a file; None where there is none, or a damaged one."""
    try:
        with np.load(path) as file:
            return _read(dict(file))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ARRAY_FILE_ERRORS as error:
        logging.warning("The probe in %s cannot be read (%s) and is made again.", path, type(error).__name__)
        return None


def _read(arrays: dict[str, np.ndarray]) -> ProbeResult:
    how, notes = str(arrays.pop("how")), tuple(map(str, arrays.pop("notes")))
    inner = {
        name.removeprefix(_STANDARDIZED): each
        for name, each in arrays.items()
        if name.startswith(_STANDARDIZED)
    }
    return _result(arrays, how, notes, _result(inner, how, ()) if inner else None)


def _result(
    arrays: dict[str, np.ndarray], how: str, notes: tuple[str, ...], standardized: ProbeResult | None = None
) -> ProbeResult:
    losses = ("initial_losses", "final_losses", "curves")
    return ProbeResult(
        **{name: arrays[name] for name in losses},
        target_variances=arrays["target_variances"],
        fresh=FreshNetworks(**{name: arrays[_FRESH + name] for name in losses}),
        how=how,
        notes=notes,
        standardized=standardized,
    )
