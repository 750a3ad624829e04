"""A run, rebuilt, into which its checkpoints are read. The run's directory is only read."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfplastic._checkpoint_files import Checkpoint
from tfplastic._text.lines import one_line
from tfplastic.command_line.diagnose.checkpoints import run_directory_of
from tfplastic.command_line.diagnose.keras_files import user_modules
from tfplastic.command_line.entry_point import print_line
from tfplastic.configuration import gin_config, gin_errors
from tfplastic.configuration.build import build_loop
from tfplastic.configuration.errors import UsageError
from tfplastic.configuration.gin_trust import GinTrust
from tfplastic.diagnostics import Snapshot
from tfplastic.run_format import ARRAY_FILE_ERRORS, OPERATIVE_CONFIG_FILE
from tfplastic.training.events.measurements.diagnostics import task_snapshot
from tfplastic.training.loop import TrainConfig
from tfplastic.training.run.bindings import parse_bindings
from tfplastic.training.run.config_differences import missing_old_values


class TrainedRun:
    """The network, the task and the optimizer of a run.

    Needs Keras 2, and replaces gin's configuration by the run's.

    Args:
        checkpoint: checkpoint of the run; its weights are not read yet.
        trusted: modules of the user's that the run's config may import.

    Attributes:
        config: configuration of the run, a `TrainConfig`.
        name: name of its directory.

    Raises:
        UsageError: the run cannot be built.
    """

    def __init__(self, checkpoint: Checkpoint, trusted: Sequence[str] = ()):
        for name in trusted:
            user_modules.import_module(name)
        directory = run_directory_of(checkpoint)
        config = directory / OPERATIVE_CONFIG_FILE
        sources = gin_config.parse([str(config)], _old_values(config), trust=GinTrust.of_run(trusted))
        loop = build_loop(sources)
        self.config: TrainConfig = loop.config
        self.name = directory.resolve().name
        self._driver = loop.driver
        self._variables = tf.train.Checkpoint(**loop.task.trackables(), optimizer=loop.config.optimizer)

    @property
    def model(self) -> Any:
        """The network that was trained."""
        return self.config.task.model

    def read(self, checkpoint: Checkpoint) -> None:
        """Gives networks and optimizer the values that they had at a checkpoint.

        Raises:
            UsageError: it cannot be read, such as one that the run has removed meanwhile.
        """
        with _reading(checkpoint):
            status = self._variables.read(checkpoint.variables)
            status.assert_existing_objects_matched()
            status.expect_partial()  # What mitigations keep is not needed.

    def read_each(self, found: Sequence[Checkpoint]) -> Iterator[Checkpoint]:
        """Reads one checkpoint after another, each while it is yielded.

        Checkpoints that cannot be read, such as one that a running run removes in the meantime, are left out,
        with a line that says so.

        Raises:
            UsageError: none can be read.
        """
        num_read = 0
        for checkpoint in found:
            try:
                self.read(checkpoint)
            except UsageError as error:
                if checkpoint is found[-1] and not num_read:
                    raise
                print_line(
                    f"gradient step {checkpoint.step:,}: left out. {error}"
                    if checkpoint.directory.exists()
                    else f"gradient step {checkpoint.step:,}: the run has removed its checkpoint"
                )
                continue
            num_read += 1
            yield checkpoint

    def snapshot(self, checkpoint: Checkpoint) -> Snapshot:
        """Returns the network and loss of the run's own diagnostics: on their fixed batch.

        Starts the environment of a task on the host, such as an emulator, while the batch is restored.

        Args:
            checkpoint: checkpoint of the run, from which the batch is restored where it is kept in
                checkpoints.

        Raises:
            UsageError: it cannot be read, or is from before the warm-up's end.
        """
        task = self.config.task
        with _reading(checkpoint):
            restored = self._driver.saves_diagnostics_batch
            with self._restored(checkpoint) if restored else contextlib.nullcontext():
                batch, inputs = self._driver.diagnostics_batch()
        return task_snapshot(task, batch, inputs, self.config.optimizer, self.config.diagnostics_loss)

    def read_snapshot(self, checkpoint: Checkpoint) -> Snapshot:
        """Returns `read` and `snapshot` of a checkpoint, where both can be done.

        Raises:
            UsageError: see these functions.
        """
        self.read(checkpoint)
        return self.snapshot(checkpoint)

    def probe_inputs(self, checkpoint: Checkpoint, count: int, key: np.ndarray) -> Any:
        """Returns inputs of the network as the task had them at a checkpoint, `[count, ...]` or fewer.

        Args:
            checkpoint: checkpoint of the run.
            count: number of inputs.
            key: seed of the draw, `[2] int32`.

        Raises:
            UsageError: it cannot be read, or is from before the warm-up's end.
        """
        with _reading(checkpoint), self._restored(checkpoint):
            return self._driver.probe_inputs(count, key)

    @contextlib.contextmanager
    def _restored(self, checkpoint: Checkpoint) -> Iterator[None]:
        with contextlib.closing(self._driver):
            self._driver.restore(checkpoint.directory, checkpoint.shared, checkpoint.shared_files)
            yield


def _old_values(config: pathlib.Path) -> list[str]:
    try:
        return missing_old_values(parse_bindings(config.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []  # `gin_config.parse` says better what is wrong with the file


@contextlib.contextmanager
def _reading(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    # TensorFlow asserts where shapes differ.
    except (*ARRAY_FILE_ERRORS, AssertionError, tf.errors.OpError) as error:
        if not checkpoint.directory.exists():
            text = "the run has removed it in the meantime; the same command takes a newer one"
        else:
            text = f"{gin_errors.own_words(str(error))}. Restore it, or choose another checkpoint"
        raise UsageError(
            f"--run_dir: checkpoint {checkpoint.step} cannot be read: {one_line(text)}"
        ) from error
