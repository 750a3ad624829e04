"""Image data sets in memory: MNIST, its kin, CIFAR, ImageNet at 32 x 32 pixels and scikit-learn's digits.

Images stay uint8, as they are stored: a quarter of the memory of float32, and the scale of the pixels is a
choice of the experiment. The task scales its own examples with `scale_pixels`.
"""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import gin
import numpy as np

from tfplastic import seeds
from tfplastic._checks import check_positive_integer, check_seed
from tfplastic._keras import is_legacy, keras
from tfplastic._text.lines import one_line
from tfplastic._text.near_names import near_matches
from tfplastic.tasks.stream_parts import archives

_VARIABLE = "TFPLASTIC_DATA_DIR"
_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
_DIGITS_TRAIN = 1500  # of 1,797: more than the 1,200 images of Kumar et al. 2023


class _Kind(NamedTuple):
    image_shape: tuple[int, int, int]
    num_classes: int
    # In Keras' cache, under Keras 2 and under Keras 3.
    cache_files: tuple[str, str] = ("", "")


_KINDS = {
    "mnist": _Kind((28, 28, 1), 10, ("mnist.npz", "mnist.npz")),
    "fashion_mnist": _Kind((28, 28, 1), 10, ("fashion-mnist/*-ubyte.gz", "fashion-mnist/*-ubyte.gz")),
    "cifar10": _Kind((32, 32, 3), 10, ("cifar-10-batches-py.tar.gz", "cifar-10-batches-py-target_archive")),
    "cifar100": _Kind((32, 32, 3), 100, ("cifar-100-python.tar.gz", "cifar-100-python-target_archive")),
    "emnist": _Kind((28, 28, 1), 47),
    "imagenet32": _Kind((32, 32, 3), 1000),
    "digits": _Kind((8, 8, 1), 10),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Images with their class labels, in memory; `load_dataset` makes the arrays read-only.

    Attributes:
        x_train: `[examples, height, width, channels] uint8`, pixels from 0 to 255.
        y_train: `[examples] int32`, from 0 to `num_classes - 1`.
        x_test: test images, in the form of `x_train`.
        y_test: test labels, in the form of `y_train`.
        num_classes: number of classes, whether or not each occurs.
        name: name for `load_dataset`.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    name: str


def check_dataset_name(argument: str, name: str) -> str:
    """Returns `name` if `load_dataset` knows it, else raises `ValueError` that lists the names."""
    if not isinstance(name, str) or name not in _KINDS:
        near = near_matches(name, _KINDS) if isinstance(name, str) else ""
        raise ValueError(
            f"`{argument}` must be one of {', '.join(map(repr, _KINDS))}. Received: {name!r}.{near}"
        )
    return name


@gin.register(module="tfplastic.tasks")
def load_dataset(name: str) -> Dataset:
    """Returns the data set of a name, and never another one in its place.

    `'digits'` comes with scikit-learn: 8 x 8 images, whose levels 0 to 16 become 0 to 255 here, rounded. It
    has no split of its own; its first 1,500 images are for training, the other 297 for testing.

    All others are searched for in this order:

    1. the file `<name>.npz` in the directory that the environment variable `TFPLASTIC_DATA_DIR` names, with
       the arrays `x_train`, `y_train`, `x_test` and `y_test` of Keras' loaders; it may hold a part of the
       examples,
    2. Keras' cache, by default `~/.keras/datasets`,
    3. the network, from which Keras fills its cache.

    Keras has no loader for `'emnist'` (the balanced split) and `'imagenet32'`. Their authors' archives are
    read from the same two directories: `gzip.zip`, and `Imagenet32_train_npz.zip` with
    `Imagenet32_val_npz.zip`. EMNIST's images are as stored, with rows and columns exchanged.

    Args:
        name: `'mnist'`, `'fashion_mnist'`, `'cifar10'`, `'cifar100'` (the 100 fine classes), `'emnist'`,
            `'imagenet32'` or `'digits'`.

    Returns:
        The data set in the order of its examples. A gray image has one channel, `[28, 28, 1]`.

    Raises:
        ValueError: the name is unknown, there is no data for it, or a file's arrays have the wrong form.
        ImportError: for `'digits'` without scikit-learn; names the command that installs it.

    Example:
        >>> import tfplastic as tp
        >>> digits = tp.tasks.load_dataset('digits')
        >>> digits.x_train.shape, digits.y_train[:5].tolist()
        ((1500, 8, 8, 1), [0, 1, 2, 3, 4])
    """
    check_dataset_name("name", name)
    if name == "digits":
        return _checked(name, "scikit-learn", _load_digits())
    directory = os.environ.get(_VARIABLE)
    if directory:
        if not Path(directory).expanduser().is_dir():
            raise ValueError(f"`{_VARIABLE}` must name a directory. Received: {directory!r}")
        path = Path(directory).expanduser() / f"{name}.npz"
        if path.exists():
            return _checked(name, str(path), _read_npz(path))
    if name in archives.KNOWN:
        return _checked(name, "its archive", _load_archives(name, directory))
    return _checked(name, "Keras' loader", _load_with_keras(name, directory))


def choose_examples(dataset: Dataset, num_examples: int, seed: int) -> Dataset:
    """Returns `dataset` with `num_examples` of its training examples, drawn uniformly without replacement.

    The same seed with a smaller count gives the first examples of the larger choice. The test examples stay.

    Args:
        dataset: data set to choose from.
        num_examples: examples to keep. 5,000 in the random-label experiment of Lyle et al. 2023, section 4.1;
            1,200 in that of Kumar et al. 2023, section 4.2.
        seed: root seed of the choice.

    Raises:
        ValueError: if `num_examples` is below 1 or above the number of training examples.

    Example:
        >>> import tfplastic as tp
        >>> tp.tasks.choose_examples(tp.tasks.load_dataset('digits'), 1200, seed=0).x_train.shape
        (1200, 8, 8, 1)
    """
    check_positive_integer("num_examples", num_examples)
    check_seed("seed", seed)
    available = len(dataset.x_train)
    if num_examples > available:
        raise ValueError(
            f"`num_examples` must be at most {available}, the training examples of {dataset.name!r}. "
            f"Received: {num_examples!r}"
        )
    order = seeds.generator(seeds.derive(seed, "choose_examples")).permutation(available)
    chosen = order[:num_examples]
    return dataclasses.replace(
        dataset, x_train=_frozen(dataset.x_train[chosen]), y_train=_frozen(dataset.y_train[chosen])
    )


def scale_pixels(images: np.ndarray, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Returns `low + (high - low) * images / 255`.

    Args:
        images: `[...] uint8`.
        low: new value of 0. Kumar et al. 2023 use -1; Lyle et al. 2023 do not say.
        high: new value of 255.

    Returns:
        `[...] float32` in [`low`, `high`].

    Raises:
        ValueError: if `images` is not uint8 (it may be scaled already) or `low` is not below `high`.

    Example:
        >>> import numpy as np
        >>> import tfplastic as tp
        >>> tp.tasks.scale_pixels(np.array([0, 51, 255], np.uint8), low=-1).tolist()
        [-1.0, -0.6000000238418579, 1.0]
    """
    if images.dtype != np.uint8:
        raise ValueError(f"`images` must be uint8. Received: {images.dtype}")
    if not low < high:
        raise ValueError(f"`low` must be below `high`. Received: {low!r} and {high!r}")
    # Multiplied first, so that 255 becomes `high` without a rounding error.
    return images * np.float32(high - low) / np.float32(255) + np.float32(low)


def _load_digits() -> dict[str, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        message = "The data set 'digits' needs scikit-learn, which is missing: pip install scikit-learn"
        raise ImportError(message) from error
    # [1797, 64] float64 from 0 to 16, and [1797].
    levels, labels = map(np.asarray, load_digits(return_X_y=True))
    images = np.round(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8)
    return {
        "x_train": images[:_DIGITS_TRAIN],
        "y_train": labels[:_DIGITS_TRAIN],
        "x_test": images[_DIGITS_TRAIN:],
        "y_test": labels[_DIGITS_TRAIN:],
    }


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as file:
            names = [member.removesuffix(".npy") for member in file.namelist()]
        if not set(_ARRAYS) <= set(names):
            raise ValueError(f"`{path}` must have the arrays {', '.join(_ARRAYS)}. Received: {names}")
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"`{path}` must be an .npz file of NumPy. Received: {one_line(error)}") from error
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in _ARRAYS}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"`{path}` must hold readable arrays. Received: {one_line(error)}") from error


def _load_archives(name: str, directory: str | None) -> dict[str, np.ndarray]:
    keras_home = os.environ.get("KERAS_HOME") or "~/.keras"
    places = [Path(each).expanduser() for each in (directory, f"{keras_home}/datasets") if each]
    paths = archives.find(name, places)
    if not paths:
        known = archives.KNOWN[name]
        raise ValueError(
            f"There is no data for {name!r}: get {' and '.join(known.files)} from {known.source}, and set "
            f"{_VARIABLE} to its directory (it is now {directory or 'not set'}), or put it into Keras' cache "
            f"({keras_home}/datasets)"
        )
    return archives.read(name, paths)


def _load_with_keras(name: str, directory: str | None) -> dict[str, np.ndarray]:
    try:
        (x_train, y_train), (x_test, y_test) = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare `Exception` where a download fails.
        cache_file = _KINDS[name].cache_files[0 if is_legacy() else 1]
        raise ValueError(
            f"There is no data for {name!r}: set {_VARIABLE} to a directory with {name}.npz (it is now "
            f"{directory or 'not set'}), or put {cache_file} into Keras' cache (~/.keras/datasets), or have "
            f"a network connection, over which Keras loads it. Keras says: {one_line(error)}"
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _checked(name: str, source: str, arrays: Mapping[str, np.ndarray]) -> Dataset:
    kind = _KINDS[name]
    checked = {}
    for part in ("train", "test"):
        images = _checked_images(f"`x_{part}` of {source}", arrays[f"x_{part}"], kind.image_shape)
        labels = arrays[f"y_{part}"]
        checked[f"x_{part}"] = images
        checked[f"y_{part}"] = _checked_labels(
            f"`y_{part}` of {source}", labels, len(images), kind.num_classes
        )
    return Dataset(**checked, num_classes=kind.num_classes, name=name)


def _checked_images(what: str, images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    shapes = [shape] if shape[-1] > 1 else [shape[:-1], shape]
    if images.dtype != np.uint8 or images.shape[1:] not in shapes or not len(images):
        rule = " or ".join(str(["examples", *shape]).replace("'", "") for shape in shapes)
        raise ValueError(
            f"{what} must be uint8 of shape {rule}, with at least one example. "
            f"Received: {images.dtype} {list(images.shape)}"
        )
    return _frozen(np.ascontiguousarray(images).reshape(-1, *shape))


def _checked_labels(what: str, labels: np.ndarray, count: int, num_classes: int) -> np.ndarray:
    integer = np.issubdtype(labels.dtype, np.integer)
    if not integer or labels.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"{what} must be integers, one for each of the {count} images. "
            f"Received: {labels.dtype} {list(labels.shape)}"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= num_classes:
        raise ValueError(f"{what} must be from 0 to {num_classes - 1}. Received: {low} to {high}")
    return _frozen(labels.reshape(-1).astype(np.int32))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
