import dataclasses
import gzip
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tfplastic._keras import is_legacy, keras
from tfplastic.tasks import Dataset, choose_examples, load_dataset, scale_pixels

ROOT = Path(__file__).parents[2]
SHAPES = {
    "mnist": (28, 28, 1),
    "fashion_mnist": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "cifar100": (32, 32, 3),
}
CLASSES = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100}
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
OUR_VARIABLES = ("KERAS_HOME", "TFPLASTIC_DATA_DIR")


def arrays_like(name, train=20, test=10):
    """Arrays as Keras' loaders give them: gray images without a channel axis, CIFAR's labels in a column."""
    generator = np.random.default_rng(0)
    shape = SHAPES[name][:2] if SHAPES[name][-1] == 1 else SHAPES[name]
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
        labels = generator.integers(0, CLASSES[name], count, dtype=np.uint8)
        arrays[f"y_{part}"] = labels[:, None] if name.startswith("cifar") else labels
    return arrays


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty directory that `TFPLASTIC_DATA_DIR` names; Keras is not to be asked."""
    monkeypatch.setenv("TFPLASTIC_DATA_DIR", str(tmp_path))
    for name in SHAPES:
        monkeypatch.setattr(getattr(keras.datasets, name), "load_data", refuse)
    return tmp_path


def refuse(*_):
    raise Exception("URL fetch failure on\nhttps://example.org/data: None -- unreachable")


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_in_the_data_directory_is_read(name, data_dir):
    arrays = arrays_like(name)
    np.savez(data_dir / f"{name}.npz", **arrays)
    dataset = load_dataset(name)
    assert (dataset.name, dataset.num_classes) == (name, CLASSES[name])
    for part, count in (("train", 20), ("test", 10)):
        images, labels = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
        assert (images.dtype, images.shape) == (np.uint8, (count, *SHAPES[name]))
        assert (labels.dtype, labels.shape) == (np.int32, (count,))
        np.testing.assert_array_equal(images.ravel(), arrays[f"x_{part}"].ravel())
        np.testing.assert_array_equal(labels, arrays[f"y_{part}"].ravel())


def test_a_channel_axis_and_wide_labels_are_taken_too(data_dir):
    arrays = arrays_like("mnist")
    arrays = {
        **arrays,
        "x_train": arrays["x_train"][..., None],
        "y_train": arrays["y_train"].astype(np.int64),
    }
    np.savez_compressed(data_dir / "mnist.npz", **arrays, more=np.zeros(3))
    dataset = load_dataset("mnist")
    np.testing.assert_array_equal(dataset.x_train, arrays["x_train"])
    assert dataset.y_train.dtype == np.int32


def test_a_dataset_cannot_be_changed(data_dir):
    np.savez(data_dir / "mnist.npz", **arrays_like("mnist"))
    dataset = load_dataset("mnist")
    for name in ARRAYS:
        with pytest.raises(ValueError, match="read-only"):
            getattr(dataset, name)[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(dataset, "name", "cifar10")  # noqa: B010


@pytest.mark.parametrize("in_directory", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_keras_is_asked_for_what_the_directory_does_not_have(name, in_directory, data_dir, monkeypatch):
    of_keras, of_directory = arrays_like(name, train=7), arrays_like(name, train=8)
    split = (of_keras["x_train"], of_keras["y_train"]), (of_keras["x_test"], of_keras["y_test"])
    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", lambda: split)
    if in_directory:
        np.savez(data_dir / f"{name}.npz", **of_directory)
    assert len(load_dataset(name).x_train) == (8 if in_directory else 7)


def test_keras_cache_is_read_without_a_network(tmp_path):
    """Keras caches Fashion-MNIST without a checksum, so that a few images of our own will do."""
    arrays = arrays_like("fashion_mnist")
    cache = tmp_path / ".keras/datasets/fashion-mnist"
    cache.mkdir(parents=True)
    for prefix, part in (("train", "train"), ("t10k", "test")):
        for kind, axes, key in (("images", "idx3", f"x_{part}"), ("labels", "idx1", f"y_{part}")):
            header = bytes(16 if kind == "images" else 8)
            with gzip.open(cache / f"{prefix}-{kind}-{axes}-ubyte.gz", "wb") as file:
                file.write(header + arrays[key].tobytes())
    program = (
        "import gc; gc.disable()\n"  # as tests/conftest.py
        "import tfplastic as tp\n"
        "dataset = tp.tasks.load_dataset('fashion_mnist')\n"
        "print(dataset.x_train.shape, dataset.x_test.sum(), dataset.y_train.tolist())"
    )
    # Keras finds its home directory when it is imported, hence a process of its own. The proxy leads nowhere.
    environment = {name: value for name, value in os.environ.items() if name not in OUR_VARIABLES}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "https_proxy": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    labels = arrays["y_train"].tolist()
    assert done.stdout.splitlines()[-1] == f"(20, 28, 28, 1) {arrays['x_test'].sum()} {labels}"


@pytest.mark.parametrize(
    ("name", "keras_2", "keras_3"),
    [
        ("mnist", "mnist.npz", "mnist.npz"),
        ("fashion_mnist", "fashion-mnist/*-ubyte.gz", "fashion-mnist/*-ubyte.gz"),
        ("cifar10", "cifar-10-batches-py.tar.gz", "cifar-10-batches-py-target_archive"),
        ("cifar100", "cifar-100-python.tar.gz", "cifar-100-python-target_archive"),
    ],
)
@pytest.mark.parametrize("is_set", [False, True])
def test_missing_data_says_the_three_ways_on_one_line(name, keras_2, keras_3, is_set, data_dir, monkeypatch):
    other = "cifar10" if name == "cifar100" else "mnist" if name == "fashion_mnist" else "cifar100"
    np.savez(data_dir / f"{other}.npz", **arrays_like(other))  # Not to be taken instead.
    if not is_set:
        monkeypatch.setenv("TFPLASTIC_DATA_DIR", "")
    message = (
        f"There is no data for '{name}': set TFPLASTIC_DATA_DIR to a directory with {name}.npz (it is now "
        f"{data_dir if is_set else 'not set'}), or put {keras_2 if is_legacy() else keras_3} into Keras' "
        "cache (~/.keras/datasets), or have a network connection, over which Keras loads it. Keras says: "
        "URL fetch failure on https://example.org/data: None -- unreachable"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset(name)


def test_a_data_directory_that_is_none_is_refused(data_dir, monkeypatch):
    monkeypatch.setenv("TFPLASTIC_DATA_DIR", str(data_dir / "absent"))
    message = f"`TFPLASTIC_DATA_DIR` must name a directory. Received: '{data_dir}/absent'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset("mnist")


def test_an_unknown_name_is_refused():
    message = (
        "`name` must be one of 'mnist', 'fashion_mnist', 'cifar10', 'cifar100', 'emnist', 'imagenet32',"
        " 'digits'. Received: 'MNIST'. Did you mean 'mnist' or 'emnist'?"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset("MNIST")


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        (
            "mnist",
            {"x_train": np.zeros([20, 28, 28], np.float32)},
            "`x_train` of {path} must be uint8 of shape [examples, 28, 28] or [examples, 28, 28, 1], with at "
            "least one example. Received: float32 [20, 28, 28]",
        ),
        (
            "cifar10",
            {"x_test": np.zeros([10, 3, 32, 32], np.uint8)},
            "`x_test` of {path} must be uint8 of shape [examples, 32, 32, 3], with at least one example. "
            "Received: uint8 [10, 3, 32, 32]",
        ),
        (
            "mnist",
            {"x_test": np.zeros([0, 28, 28], np.uint8), "y_test": np.zeros(0, np.uint8)},
            "`x_test` of {path} must be uint8 of shape [examples, 28, 28] or [examples, 28, 28, 1], with at "
            "least one example. Received: uint8 [0, 28, 28]",
        ),
        (
            "mnist",
            {"y_train": np.zeros(19, np.uint8)},
            "`y_train` of {path} must be integers, one for each of the 20 images. Received: uint8 [19]",
        ),
        (
            "mnist",
            {"y_train": np.zeros([20, 10], np.uint8)},
            "`y_train` of {path} must be integers, one for each of the 20 images. Received: uint8 [20, 10]",
        ),
        (
            "mnist",
            {"y_test": np.zeros(10)},
            "`y_test` of {path} must be integers, one for each of the 10 images. Received: float64 [10]",
        ),
        (
            "mnist",
            {"y_test": np.arange(1, 11)},
            "`y_test` of {path} must be from 0 to 9. Received: 1 to 10",
        ),
        (
            "cifar100",
            {"y_train": np.arange(-1, 19)},
            "`y_train` of {path} must be from 0 to 99. Received: -1 to 18",
        ),
        (
            "mnist",
            {"y_train": np.array([None] * 20)},
            "`{path}` must hold readable arrays. Received: Object arrays cannot be loaded when "
            "allow_pickle=False",
        ),
    ],
)
def test_wrong_arrays_are_refused(name, wrong, message, data_dir):
    path = data_dir / f"{name}.npz"
    np.savez(path, **{**arrays_like(name), **wrong})
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=path))}$"):
        load_dataset(name)


def test_a_file_without_the_arrays_of_keras_is_refused(data_dir):
    path = data_dir / "mnist.npz"
    np.savez(path, x=np.zeros(3), y=np.zeros(3))
    message = f"`{path}` must have the arrays x_train, y_train, x_test, y_test. Received: ['x', 'y']"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset("mnist")


def test_a_file_that_is_no_npz_or_is_damaged_is_refused(data_dir):
    path = data_dir / "mnist.npz"
    path.write_bytes(b"no archive")
    message = f"`{path}` must be an .npz file of NumPy. Received: File is not a zip file"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset("mnist")
    np.savez(path, **arrays_like("mnist"))
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1  # Among the pixels of `x_train`.
    path.write_bytes(damaged)
    message = f"`{path}` must hold readable arrays. Received: Bad CRC-32 for file 'x_train.npy'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_dataset("mnist")


def test_digits_come_with_scikit_learn(data_dir):
    (data_dir / "digits.npz").write_bytes(b"not looked at")
    dataset = load_dataset("digits")
    assert (dataset.x_train.shape, dataset.x_test.shape) == ((1500, 8, 8, 1), (297, 8, 8, 1))
    assert (dataset.x_train.dtype, dataset.y_train.dtype) == (np.uint8, np.int32)
    assert (dataset.name, dataset.num_classes) == ("digits", 10)
    # The first row of the first image is 0 0 5 13 9 1 0 0 in levels of 16: 5 x 255 / 16 = 79.7, 207.2, ...
    assert dataset.x_train[0, 0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    assert dataset.x_train.max() == dataset.x_test.max() == 255
    assert len(np.unique(dataset.x_train)) == 17
    for labels in (dataset.y_train, dataset.y_test):
        assert np.bincount(labels).min() > 0.08 * len(labels)


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    message = "The data set 'digits' needs scikit-learn, which is missing: pip install scikit-learn"
    with pytest.raises(ImportError, match=f"^{message}$"):
        load_dataset("digits")


def numbered(count):
    """A data set whose image i has the value i mod 256 and the label i mod 10."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 2, 2, 1)).astype(np.uint8)
    labels = (numbers % 10).astype(np.int32)
    return Dataset(images, labels, images[:5], labels[:5], 10, "numbered")


def test_chosen_examples_are_distinct_and_keep_their_labels():
    dataset = numbered(250)
    chosen = choose_examples(dataset, 100, seed=0)
    numbers = chosen.x_train[:, 0, 0, 0]
    assert chosen.x_train.shape == (100, 2, 2, 1) and len(set(numbers.tolist())) == 100
    np.testing.assert_array_equal(chosen.y_train, numbers % 10)
    assert chosen.x_test is dataset.x_test and chosen.y_test is dataset.y_test
    assert (chosen.name, chosen.num_classes) == ("numbered", 10)
    np.testing.assert_array_equal(choose_examples(dataset, 30, seed=0).x_train, chosen.x_train[:30])
    assert len(set(choose_examples(dataset, 250, seed=0).x_train[:, 0, 0, 0].tolist())) == 250


def test_the_seed_decides_the_choice():
    dataset = numbered(250)
    first, same, other = (choose_examples(dataset, 100, seed).x_train for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_every_example_is_chosen_equally_often():
    dataset = numbered(20)
    choices = [choose_examples(dataset, 5, seed).x_train[:, 0, 0, 0] for seed in range(2000)]
    counts = np.bincount(np.concatenate(choices), minlength=20)
    # Of five draws without replacement an example is at most one, so a count's variance is 2000 x 1/4 x 3/4
    # and not that of 10,000 independent draws, 10000 x 1/20 x 19/20: the statistic is smaller by 15 / 19.
    assert stats.chi2.sf(stats.chisquare(counts).statistic * 19 / 15, 19) > 0.01


@pytest.mark.parametrize(
    ("num_examples", "message"),
    [
        (251, "`num_examples` must be at most 250, the training examples of 'numbered'. Received: 251"),
        (0, "`num_examples` must be an integer of at least 1. Received: 0"),
        (1.5, "`num_examples` must be an integer of at least 1. Received: 1.5"),
    ],
)
def test_wrong_counts_are_refused(num_examples, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        choose_examples(numbered(250), num_examples, seed=0)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-1, 1), (-0.5, 3)])
def test_pixels_are_scaled(low, high):
    images = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    scaled = scale_pixels(images, low, high)
    assert scaled.dtype == np.float32 and scaled.shape == images.shape
    np.testing.assert_allclose(scaled, low + (high - low) * (images / 255.0), rtol=0, atol=3e-7)
    assert (scaled.min(), scaled.max()) == (low, high)


def test_wrong_pixels_and_ranges_are_refused():
    with pytest.raises(ValueError, match="^`images` must be uint8. Received: float64$"):
        scale_pixels(np.zeros(3))
    with pytest.raises(ValueError, match="^`low` must be below `high`. Received: 1 and 1$"):
        scale_pixels(np.zeros(3, np.uint8), 1, 1)


# MNIST is complete or not MNIST; of CIFAR-10 a part will do.
@pytest.mark.parametrize(("name", "train", "test"), [("mnist", 60_000, 10_000), ("cifar10", 5_000, 1_000)])
def test_the_real_data(name, train, test):
    path = Path(os.environ.get("TFPLASTIC_DATA_DIR", "")) / f"{name}.npz"
    if not path.is_absolute() or not path.exists():
        pytest.skip(f"TFPLASTIC_DATA_DIR names no directory with {name}.npz")
    dataset = load_dataset(name)
    assert len(dataset.x_train) >= train and len(dataset.x_test) >= test
    assert dataset.x_train.shape[1:] == SHAPES[name]
    frequencies = np.bincount(dataset.y_train, minlength=10) / len(dataset.y_train)
    assert frequencies.min() > 0.09 and frequencies.max() < 0.12
    # Mean pixel of all of MNIST: 33.3; of CIFAR-10: 120.7, from its channel means 125.3, 123.0 and 113.9.
    assert abs(dataset.x_train.mean() - {"mnist": 33.3, "cifar10": 120.7}[name]) < 3
