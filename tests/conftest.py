"""Settings every test shares. TF-Agents needs Keras 2, which must be chosen before TensorFlow is imported."""

import gc
import os
import random
import sys
import zlib

import pytest

from tests.channels_first import has_channels_first
from tests.large_rows import COLLECTED, LARGE_ROWS, SMALL_ROWS

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
gc.disable()  # until the tests are collected: imports leave hardly any garbage

# What takes models of either Keras meets both in `make test-slow`, and only TF-Agents' one in `make test`:
# to trace all of it twice takes minutes.
_ONCE = (
    "tests/callbacks/",
    "tests/command_line/diagnose/",
    "tests/contracts/",
    "tests/diagnostics/",
    "tests/losses/keras_loss_test.py",
    "tests/linalg/architectures_test.py",
    "tests/linalg/operators/from_model_test.py",
    "tests/probing/",
    "tests/tf/derivatives_test.py",
)
# But for these, which meet both in `make test` too.
_BOTH = ("tests/losses/keras_loss_test.py::test_value_and_gradient_are_those_of_keras",)


# Few tests that take long: begun first, so that no process is left with them alone at the end.
_FIRST = ("tests/keras3_test.py", "tests/smoke_test.py", "tests/command_line/sweep/command_test.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))
    collected = config.stash[COLLECTED] = {}
    for item in items:
        test, _, row = item.nodeid.partition("[")
        is_large = test in SMALL_ROWS and not row.startswith(SMALL_ROWS[test])
        if is_large or item.nodeid.startswith(LARGE_ROWS):
            item.add_marker(pytest.mark.slow)
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        takes_keras_3 = any(getattr(each, "__name__", "") == "keras" for each in parameters)
        if takes_keras_3 and item.nodeid.startswith(_ONCE) and not item.nodeid.startswith(_BOTH):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("channels_first") and not has_channels_first():
            item.add_marker(pytest.mark.skip(reason="without oneDNN; see tests/channels_first_test.py"))
        collected.setdefault(test, {})[row] = item.get_closest_marker("slow") is not None


def pytest_collection_finish() -> None:
    """Spares the garbage collector all modules and tests that exist by now (8 % of the CPU time).

    A program is traced in thousands of objects that live as long as a test: with its own thresholds the
    collector looks through them again and again (another 4 %).
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Spares a process that ends another look through all that is left of its tests."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seeds all draws of a test and its fixtures that have no seed of their own.

    TensorFlow gets one that no other test has: `tf.random.set_seed` drops the kernels of all operations, lest
    one of the same seed continue its draws, and to make them again takes longer than many a test.
    """
    random.seed(0)
    if "tf_keras.src.backend" in sys.modules:  # an earlier test's `set_random_seed` leaves a generator behind
        vars(sys.modules["tf_keras.src.backend"]._SEED_GENERATOR).pop("generator", None)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "tensorflow" in sys.modules:
        context = sys.modules["tensorflow.python.eager.context"].context()
        context._seed = zlib.crc32(item.nodeid.encode()) % 2**31
        context._rng = random.Random(context._seed)
