"""A Keras model on disk, read as data: nothing that it names is looked up, and TensorFlow is not imported."""

import dataclasses
import json
import pathlib
import zipfile
from typing import Any

from tfplastic._text.lines import one_line
from tfplastic.command_line.diagnose.keras_files import hdf5_links
from tfplastic.configuration.errors import UsageError
from tfplastic.run_format import ARRAY_FILE_ERRORS

ARCHIVE, HDF5, SAVED_MODEL = ".keras", ".h5", "SavedModel"
_ENDINGS = {".keras": ARCHIVE, ".h5": HDF5, ".hdf5": HDF5}
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_RULE = "must be in the format .keras or .h5, as model.save('name.keras') writes it"


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """The parts of a saved model that can be read without loading it.

    Attributes:
        path: the file, or the directory of a TensorFlow SavedModel.
        version: version of the Keras that saved it, such as '3.15.1'.
        config: everything from which Keras would make objects: the architecture and the compilation.
        compiled: the part of `config` that says how the model was compiled; empty where it was not.
    """

    path: str
    version: str
    config: dict[str, Any]
    compiled: dict[str, Any]

    @property
    def optimizer(self) -> dict[str, Any] | None:
        """The settings of the optimizer that the model was compiled with, if any."""
        return self.compiled.get("optimizer") or self.compiled.get("optimizer_config")


def read(path: str, trust: bool) -> SavedModel:
    """Reads the description in a saved model.

    Args:
        path: a file of format `.keras` or `.h5`, or a directory of TensorFlow's format SavedModel.
        trust: whether to accept contents that may reach beyond the file: a SavedModel, whose graph may read
            and write files, and links to other files.

    Raises:
        UsageError: there is no such file, it has another format, or its contents need more trust.
    """
    file = pathlib.Path(path)
    if file.is_dir():
        return _read_directory(file, trust)
    if not file.is_file():
        raise UsageError(f"--model: no such file {path!r}. Give the path of a .keras or .h5 file")
    readers = {ARCHIVE: _read_archive, HDF5: _read_hdf5}
    kind = _ENDINGS.get(file.suffix.lower())
    try:
        if kind is None:
            raise ValueError(f"a name that ends in {file.suffix!r}")
        saved = readers[kind](file, trust)
    except RecursionError as error:
        raise UsageError(f"--model {_RULE}. Received: {path!r}, which is nested too deeply") from error
    except ARRAY_FILE_ERRORS as error:  # of zipfile, HDF5 and contents of other kinds
        raise UsageError(f"--model {_RULE}. Received: {path!r} ({one_line(error)})") from error
    return saved


def _read_archive(file: pathlib.Path, trust: bool) -> SavedModel:
    with zipfile.ZipFile(file) as archive:
        version = json.loads(archive.read("metadata.json"))["keras_version"]
        config = json.loads(archive.read(_CONFIG))
        if not trust:
            for name in archive.namelist():
                if pathlib.PurePosixPath(name).is_absolute() or ".." in pathlib.PurePosixPath(name).parts:
                    raise UsageError(refusal(file, f"its part {name!r} would lie outside of it"))
            if _WEIGHTS in archive.namelist():
                with archive.open(_WEIGHTS) as weights:
                    _check_links(file, weights)
    return SavedModel(str(file), str(version), config, config.get("compile_config") or {})


def _read_hdf5(file: pathlib.Path, trust: bool) -> SavedModel:
    import h5py

    if not trust:
        _check_links(file, file)
    with h5py.File(file, "r") as content:
        texts: dict[str, Any] = {name: content.attrs[name] for name in ("keras_version", "model_config")}
        training: Any = content.attrs.get("training_config", "{}")
        compiled = json.loads(training)
    version = texts["keras_version"]
    version = version.decode() if isinstance(version, bytes) else str(version)
    config = {"model_config": json.loads(texts["model_config"]), "training_config": compiled}
    return SavedModel(str(file), version, config, compiled)


def _check_links(file: pathlib.Path, content: Any) -> None:
    link = hdf5_links.first_outside(content)
    if link:
        raise UsageError(refusal(file, link))


def _read_directory(directory: pathlib.Path, trust: bool) -> SavedModel:
    if not (directory / "saved_model.pb").is_file():
        raise UsageError(f"--model {_RULE}. Received: the directory {str(directory)!r}")
    if not trust:
        text = "it is a SavedModel, whose graph may read and write files when it is loaded"
        raise UsageError(refusal(directory, f"{text}; save it as .keras"))
    if not (directory / "keras_metadata.pb").is_file():
        text = "is a SavedModel of a graph, without Keras' layers; save the model as .keras"
        raise UsageError(f"--model: {str(directory)!r} {text}")
    return SavedModel(str(directory), "2.", {}, {})  # Keras 3 writes no such directories.


def refusal(path: Any, what: str) -> str:
    """Returns the message of a file that is not opened.

    Args:
        path: path of the file.
        what: description of the problem.
    """
    return (
        f"--model: refused {str(path)!r}: {what} (--trust loads it all the same; it can then run any command)"
    )
