"""Archives of image data sets as their authors publish them: EMNIST and ImageNet at 32 x 32 pixels."""

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfplastic._text.lines import one_line

_ERRORS = (OSError, EOFError, ValueError, KeyError, struct.error, zipfile.BadZipFile, zlib.error)
_PARTS = ("train", "test")


class Archives(NamedTuple):
    """The archives of a data set.

    Attributes:
        files: names of the archives, each of which must be there.
        source: source of the archives.
    """

    files: Sequence[str]
    source: str


KNOWN: Mapping[str, Archives] = {
    "emnist": Archives(("gzip.zip",), "the EMNIST page of NIST"),
    "imagenet32": Archives(
        ("Imagenet32_train_npz.zip", "Imagenet32_val_npz.zip"), "the download page of image-net.org"
    ),
}
"""{data set: its archives}."""


def find(name: str, directories: Sequence[Path]) -> list[Path]:
    """Returns the archives of a data set, all from one of `directories`; nothing if none has them all."""
    for directory in directories:
        paths = [directory / file for file in KNOWN[name].files]
        if all(path.is_file() for path in paths):
            return paths
    return []


def read(name: str, paths: Sequence[Path]) -> dict[str, np.ndarray]:
    """Returns the arrays of a data set, `x_train`, `y_train`, `x_test` and `y_test`, from its archives.

    `'emnist'` is the balanced split, with the images as stored, which have rows and columns exchanged.

    Args:
        name: data set.
        paths: its archives, from `find`.

    Raises:
        ValueError: an archive cannot be read.
    """
    try:
        return _emnist(paths[0]) if name == "emnist" else _imagenet32(*paths)
    except _ERRORS as error:
        received = ", ".join(map(str, paths))
        raise ValueError(
            f"The archive of {name!r} must be as published. Received: {received}, {one_line(error)}"
        ) from error


def _emnist(path: Path) -> dict[str, np.ndarray]:
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for part in _PARTS:
            for letter, of in (("x", "images-idx3"), ("y", "labels-idx1")):
                member = f"gzip/emnist-balanced-{part}-{of}-ubyte.gz"
                arrays[f"{letter}_{part}"] = _idx(gzip.decompress(archive.read(member)))
    return arrays


def _idx(content: bytes) -> np.ndarray:
    """Returns the array of a file in the format of MNIST: of bytes, after the sizes of its axes."""
    _, kind, rank = struct.unpack(">HBB", content[:4])
    if kind != 8:
        raise ValueError(f"an idx file of bytes must have the type 8, not {kind}")
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def _imagenet32(train: Path, validation: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for part, path in zip(_PARTS, (train, validation), strict=True):
        images, labels = [], []
        with zipfile.ZipFile(path) as archive:
            for member in sorted(each for each in archive.namelist() if each.endswith(".npz")):
                with np.load(io.BytesIO(archive.read(member)), allow_pickle=False) as batch:
                    planes = batch["data"].reshape(-1, 3, 32, 32)  # a channel after the other
                    images.append(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)))
                    labels.append(batch["labels"] - 1)  # from 1 to 1,000 there
        arrays[f"x_{part}"], arrays[f"y_{part}"] = np.concatenate(images), np.concatenate(labels)
    return arrays
