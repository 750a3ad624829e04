"""The one way from a parsed configuration to a training loop and all its parts."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import gin

from tfplastic.configuration import gin_errors, initial_run
from tfplastic.configuration.gin_files import Binding

if TYPE_CHECKING:  # They import TensorFlow.
    from tfplastic.training.loop import Loop


def build_loop(sources: Sequence[Binding], path_of: Callable[[int], str] | None = None) -> "Loop":
    """Returns the training loop of gin's present configuration.

    Args:
        sources: result of `gin_config.parse`, for errors.
        path_of: function that returns the run directory of a seed, which decides whether `train.init_from` is
            read, and of which step; None where first weights are not needed.

    Raises:
        UsageError: something cannot be built; says where it is configured.
    """
    from tfplastic._keras import keras
    from tfplastic.training.loop import Loop, TrainConfig

    keras.backend.reset_uids()  # Layers without names of their own are called as in a process of their own.
    initial_run.make_absolute()
    with gin_errors.constructing(sources):
        config = gin.get_configurable(TrainConfig)()
        if path_of is None:
            return Loop(config, is_new=False)
        path = path_of(config.seed)
        return Loop(initial_run.resolved(config, path), is_new=not initial_run.has_begun(path))
