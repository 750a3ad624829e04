"""Data sets of the real shapes with random content, for tests that must not need a network."""

from pathlib import Path

import gin
import numpy as np
import pytest

SHAPES = {"mnist": (28, 28), "cifar10": (32, 32, 3)}


def write(directory: Path, name: str, num_train: int = 5_000, num_test: int = 10) -> None:
    """Writes `<name>.npz`, with the names of Keras' loader, where `TFPLASTIC_DATA_DIR` may point."""
    generator = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", num_train), ("test", num_test)):
        arrays[f"x_{part}"] = generator.integers(256, size=(count, *SHAPES[name]), dtype=np.uint8)
        arrays[f"y_{part}"] = generator.integers(10, size=count, dtype=np.uint8)
    np.savez(directory / f"{name}.npz", allow_pickle=False, **arrays)


@pytest.fixture(autouse=True)
def no_configuration_left():
    yield
    gin.clear_config()


@pytest.fixture(autouse=True, scope="module")
def data_at_hand(tmp_path_factory):
    """Data of the right shapes, so that nothing is downloaded, in a module that imports this."""
    path = tmp_path_factory.mktemp("data")
    for name in SHAPES:
        write(path, name)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TFPLASTIC_DATA_DIR", str(path))
        yield
