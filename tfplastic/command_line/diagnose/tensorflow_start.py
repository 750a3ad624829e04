"""The start of TensorFlow with the Keras that a model needs."""

import contextlib
import os
from collections.abc import Iterator

from tfplastic.command_line.diagnose.command_table import CommonOptions
from tfplastic.command_line.entry_point import print_line
from tfplastic.configuration import device, quiet


@contextlib.contextmanager
def tensorflow_started(given: CommonOptions, legacy: bool, because: str) -> Iterator[None]:
    """Imports TensorFlow with Keras 2 (`legacy`) or 3 and selects the device; chatter is held back inside.

    Args:
        given: the options.
        legacy: whether it must be Keras 2.
        because: why, for people whose environment says otherwise.
    """
    wanted = "1" if legacy else "0"
    found = os.environ.get("TF_USE_LEGACY_KERAS")
    if found is not None and (found.lower() in ("1", "true")) != legacy:
        print_line(f"TF_USE_LEGACY_KERAS is set to {wanted} for this command, because {because}.")
    os.environ["TF_USE_LEGACY_KERAS"] = wanted
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with contextlib.nullcontext() if given.debug else quiet.imports_quiet():
        print_line(f"Device: {device.select(given.device)}")
        yield


def for_run(given: CommonOptions) -> contextlib.AbstractContextManager[None]:
    """Returns the context for a run of `bin/train`."""
    return tensorflow_started(given, legacy=True, because="TF-Agents needs Keras 2")


def for_model(given: CommonOptions, version: str) -> contextlib.AbstractContextManager[None]:
    """Returns the context for the model of `--model`, saved by Keras `version`."""
    because = f"{given.model} was saved by Keras {version}"
    return tensorflow_started(given, legacy=version.startswith("2."), because=because)
