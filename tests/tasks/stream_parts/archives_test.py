"""Archives as published, made up here, and one line where one is missing or damaged."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from tfplastic.tasks import load_dataset


@pytest.fixture(params=["TFPLASTIC_DATA_DIR", "KERAS_HOME"])
def folder(request, tmp_path, monkeypatch):
    """A directory that is looked into, by either variable."""
    monkeypatch.delenv("TFPLASTIC_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    if request.param == "KERAS_HOME":
        path = tmp_path / "keras/datasets"
    else:
        path = tmp_path / "data"
        monkeypatch.setenv(request.param, str(path))
    path.mkdir(parents=True)
    return path


def idx(array):
    return gzip.compress(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def emnist(path):
    generator, arrays = np.random.default_rng(0), {}
    with zipfile.ZipFile(path / "gzip.zip", "w") as archive:
        for part, count in (("train", 60), ("test", 7)):
            images = generator.integers(256, size=(count, 28, 28), dtype=np.uint8)
            labels = generator.integers(47, size=count, dtype=np.uint8)
            archive.writestr(f"gzip/emnist-balanced-{part}-images-idx3-ubyte.gz", idx(images))
            archive.writestr(f"gzip/emnist-balanced-{part}-labels-idx1-ubyte.gz", idx(labels))
            archive.writestr(f"gzip/emnist-letters-{part}-labels-idx1-ubyte.gz", b"of another split")
            arrays |= {f"x_{part}": images[..., None], f"y_{part}": labels}
    return arrays


def imagenet32(path):
    generator, arrays = np.random.default_rng(0), {}
    for part, of, batches in (("train", "train", 3), ("test", "val", 1)):
        rows, labels = [], []
        with zipfile.ZipFile(path / f"Imagenet32_{of}_npz.zip", "w") as archive:
            for number in range(batches):
                rows.append(generator.integers(256, size=(5, 3072), dtype=np.uint8))
                labels.append(generator.integers(1, 1001, size=5))
                file = io.BytesIO()
                np.savez(file, data=rows[-1], labels=labels[-1], mean=np.zeros(3072))
                archive.writestr(f"{of}_data_batch_{number + 1}.npz", file.getvalue())
        flat = np.concatenate(rows)
        # A row of the archive: 1,024 red values, row after row of the image, then green, then blue ones.
        images = np.stack([flat[:, 1024 * channel :][:, :1024] for channel in range(3)], axis=-1)
        arrays |= {f"x_{part}": images.reshape(-1, 32, 32, 3), f"y_{part}": np.concatenate(labels) - 1}
    return arrays


MAKE = {"emnist": emnist, "imagenet32": imagenet32}


@pytest.mark.parametrize("name", MAKE)
def test_an_archive_as_published_is_read(name, folder):
    arrays = MAKE[name](folder)
    dataset = load_dataset(name)
    assert (dataset.name, dataset.num_classes) == (name, {"emnist": 47, "imagenet32": 1000}[name])
    for key, array in arrays.items():
        np.testing.assert_array_equal(getattr(dataset, key), array)


@pytest.mark.parametrize(
    ("name", "files", "source"),
    [
        ("emnist", "gzip.zip", "the EMNIST page of NIST"),
        (
            "imagenet32",
            "Imagenet32_train_npz.zip and Imagenet32_val_npz.zip",
            "the download page of image-net.org",
        ),
    ],
)
def test_a_missing_archive_is_one_line_with_the_remedy(name, files, source, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("TFPLASTIC_DATA_DIR", str(tmp_path))
    (tmp_path / "Imagenet32_train_npz.zip").touch()  # one of two is not enough
    with pytest.raises(ValueError) as error:
        load_dataset(name)
    assert str(error.value) == (
        f"There is no data for {name!r}: get {files} from {source}, and set TFPLASTIC_DATA_DIR to its"
        f" directory (it is now {tmp_path}), or put it into Keras' cache ({tmp_path}/datasets)"
    )


def test_a_damaged_archive_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TFPLASTIC_DATA_DIR", str(tmp_path))
    path = tmp_path / "gzip.zip"
    for content in (b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(ValueError) as error:
            load_dataset("emnist")
        assert str(error.value).startswith(
            f"The archive of 'emnist' must be as published. Received: {path}, "
        )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "gzip/emnist-balanced-train-images-idx3-ubyte.gz", gzip.compress(b"\0\0\x0d\1\0\0\0\1")
        )
    with pytest.raises(ValueError, match="an idx file of bytes must have the type 8, not 13"):
        load_dataset("emnist")
